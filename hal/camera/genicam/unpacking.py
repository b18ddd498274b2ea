"""Pixels out of a camera's buffer: padding gone, packed formats spread out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hal.interfaces.camera import PixelFormat

Bytes = NDArray[np.uint8]

PFNC_VALUES = {
    PixelFormat.MONO8: 0x01080001,
    PixelFormat.MONO10: 0x01100003,
    PixelFormat.MONO12: 0x01100005,
    PixelFormat.MONO10P: 0x010A0046,
    PixelFormat.MONO12P: 0x010C0047,
    PixelFormat.MONO12_PACKED: 0x010C0006,
}
"""The formats' numbers in the pixel format naming convention of the EMVA."""

_GROUPS = {
    PixelFormat.MONO8: (1, 1),
    PixelFormat.MONO10: (1, 2),
    PixelFormat.MONO12: (1, 2),
    PixelFormat.MONO10P: (4, 5),
    PixelFormat.MONO12P: (2, 3),
    PixelFormat.MONO12_PACKED: (2, 3),
}
"""How many pixels share how many whole bytes."""


def group_px(pixel_format: PixelFormat) -> int:
    """Return how many pixels share whole bytes: the width must be a multiple of it."""
    return _GROUPS[pixel_format][0]


def line_bytes(width_px: int, pixel_format: PixelFormat) -> int:
    """Return the bytes of a line without padding; ``width_px`` is a multiple of the group."""
    pixels, size = _GROUPS[pixel_format]
    return width_px // pixels * size


def unpack(
    data: Bytes, width_px: int, height_px: int, x_padding: int, pixel_format: PixelFormat
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return the pixels as an own copy, (height_px, width_px): uint8 for Mono8, else uint16.

    Args:
        data: bytes of the buffer, one dimension; what follows the last line is ignored.
        width_px: a multiple of :func:`group_px`.
        height_px: number of lines.
        x_padding: bytes after each line.
        pixel_format: how ``data`` is laid out.

    Raises:
        ValueError: ``data`` is too short, or the width does not fill whole bytes.
    """
    if width_px % group_px(pixel_format):
        raise ValueError(f"{width_px} pixels of {pixel_format} do not fill whole bytes")
    used = line_bytes(width_px, pixel_format)
    pitch = used + x_padding
    if data.size < height_px * pitch:
        raise ValueError(f"{data.size} bytes instead of {height_px * pitch}")
    lines = data[: height_px * pitch].reshape(height_px, pitch)[:, :used]
    if pixel_format is PixelFormat.MONO8:
        return np.array(lines, np.uint8)
    if pixel_format in (PixelFormat.MONO10, PixelFormat.MONO12):
        return np.array(lines, np.uint8).view("<u2").astype(np.uint16, copy=False)
    pixels = np.empty((height_px, width_px), np.uint16)
    if pixel_format is PixelFormat.MONO10P:
        _unpack_10p(lines, pixels)
    elif pixel_format is PixelFormat.MONO12P:
        _unpack_12p(lines, pixels)
    else:
        _unpack_12_packed(lines, pixels)
    return pixels


def _unpack_10p(lines: Bytes, pixels: NDArray[np.uint16]) -> None:
    """Four pixels in five bytes, one stream of bits, the lowest first."""
    b0, b1, b2, b3, b4 = (lines[:, i::5].astype(np.uint16) for i in range(5))
    pixels[:, 0::4] = b0 | (b1 & 0x03) << 8
    pixels[:, 1::4] = b1 >> 2 | (b2 & 0x0F) << 6
    pixels[:, 2::4] = b2 >> 4 | (b3 & 0x3F) << 4
    pixels[:, 3::4] = b3 >> 6 | b4 << 2


def _unpack_12p(lines: Bytes, pixels: NDArray[np.uint16]) -> None:
    """Two pixels in three bytes, one stream of bits, the lowest first."""
    b0, b1, b2 = (lines[:, i::3].astype(np.uint16) for i in range(3))
    pixels[:, 0::2] = b0 | (b1 & 0x0F) << 8
    pixels[:, 1::2] = b1 >> 4 | b2 << 4


def _unpack_12_packed(lines: Bytes, pixels: NDArray[np.uint16]) -> None:
    """Two pixels in three bytes, the low bits of both in the middle one."""
    b0, b1, b2 = (lines[:, i::3].astype(np.uint16) for i in range(3))
    pixels[:, 0::2] = b0 << 4 | b1 & 0x0F
    pixels[:, 1::2] = b2 << 4 | b1 >> 4
