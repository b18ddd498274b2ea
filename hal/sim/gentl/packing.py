"""Pixels as a camera puts them on the wire."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

_BITS = {"Mono8": 8, "Mono10": 16, "Mono12": 16, "Mono10p": 10, "Mono12p": 12, "Mono12Packed": 12}
_FULL_SCALE = {"Mono8": 255, "Mono10": 1023, "Mono10p": 1023}


def full_scale(pixel_format: str) -> int:
    """Return the largest count of a format."""
    return _FULL_SCALE.get(pixel_format, 4095)


def line_bytes(width_px: int, pixel_format: str) -> int:
    """Return the bytes of one line without padding; a line begins at a whole byte."""
    return (width_px * _BITS[pixel_format] + 7) // 8


def pack(pixels: NDArray[np.uint16], pixel_format: str, x_padding: int = 0) -> Bytes:
    """Return the bytes of ``pixels``, (height, width), counts up to the format's full scale.

    May be a view of ``pixels``.

    Args:
        pixels: of which each line must fill whole bytes.
        pixel_format: name after the PFNC.
        x_padding: bytes of rubbish after each line.
    """
    lines = _packed_lines(pixels, pixel_format)
    if x_padding:
        lines = np.pad(
            lines.reshape(len(lines), -1), ((0, 0), (0, x_padding)), constant_values=0xEE
        )
    return np.ascontiguousarray(lines).reshape(-1)


def _packed_lines(pixels: NDArray[np.uint16], pixel_format: str) -> Bytes:
    height, width = pixels.shape
    if pixel_format == "Mono8":
        return pixels.astype(np.uint8)
    if pixel_format in ("Mono10", "Mono12"):
        return np.ascontiguousarray(pixels, "<u2").view(np.uint8).reshape(height, -1)
    if pixel_format == "Mono12Packed":
        first, second = pixels[:, 0::2], pixels[:, 1::2]
        packed = np.stack((first >> 4, (first & 15) | (second & 15) << 4, second >> 4), axis=-1)
        return packed.astype(np.uint8).reshape(height, -1)
    # Mono10p and Mono12p are one stream of bits, the lowest first: 40 or 24 of them at a time.
    bits = _BITS[pixel_format]
    group = {10: 4, 12: 2}[bits]
    words = np.zeros((height, width // group), np.uint64)
    for place in range(group):
        words |= pixels[:, place::group].astype(np.uint64) << np.uint64(place * bits)
    return words.astype("<u8").view(np.uint8).reshape(height, -1, 8)[:, :, : group * bits // 8]
