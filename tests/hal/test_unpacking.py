"""Packed pixels come out as they went in; the layouts are those of the standard."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from hal.camera.genicam.unpacking import PFNC_VALUES, group_px, line_bytes, unpack
from hal.interfaces.camera import PixelFormat
from hal.sim.gentl.features import PIXEL_FORMATS
from hal.sim.gentl.packing import pack


@st.composite
def images(draw: st.DrawFn) -> tuple[PixelFormat, NDArray[np.uint16], int, bytes]:
    pixel_format = draw(st.sampled_from(list(PixelFormat)))
    height = draw(st.integers(1, 5))
    width = group_px(pixel_format) * draw(st.integers(1, 9))
    x_padding = draw(st.integers(0, 9))
    seed = draw(st.integers(0, 2**32 - 1))
    pixels = np.random.default_rng(seed).integers(
        0, pixel_format.full_scale, (height, width), np.uint16, endpoint=True
    )
    return pixel_format, pixels, x_padding, draw(st.binary(max_size=16))


@given(images())
def test_unpacking_undoes_packing(
    image: tuple[PixelFormat, NDArray[np.uint16], int, bytes],
) -> None:
    pixel_format, pixels, x_padding, rest = image
    height, width = pixels.shape
    data = np.concatenate(
        [pack(pixels, pixel_format.value, x_padding), np.frombuffer(rest, np.uint8)]
    )
    assert data.size == height * (line_bytes(width, pixel_format) + x_padding) + len(rest)
    unpacked = unpack(data, width, height, x_padding, pixel_format)
    assert np.array_equal(unpacked, pixels)
    assert unpacked.dtype == (np.uint8 if pixel_format is PixelFormat.MONO8 else np.uint16)
    assert not np.shares_memory(unpacked, data)


@pytest.mark.parametrize(
    ("pixel_format", "data", "pixels"),
    [
        # Pixel format naming convention, lsb: the first pixel's lowest bits come first.
        (PixelFormat.MONO10P, [0x01, 0x08, 0x30, 0x00, 0x01], [0x001, 0x002, 0x003, 0x004]),
        (PixelFormat.MONO10P, [0xFF, 0x03, 0x00, 0x00, 0xFF], [0x3FF, 0x000, 0x000, 0x3FC]),
        (PixelFormat.MONO12P, [0x23, 0x61, 0x45], [0x123, 0x456]),
        # GigE Vision: the low bits of both pixels share the middle byte.
        (PixelFormat.MONO12_PACKED, [0x12, 0x63, 0x45], [0x123, 0x456]),
        (PixelFormat.MONO12, [0x23, 0x01, 0x56, 0x04], [0x123, 0x456]),
    ],
)
def test_the_layouts_are_those_of_the_standard(
    pixel_format: PixelFormat, data: list[int], pixels: list[int]
) -> None:
    unpacked = unpack(np.array(data, np.uint8), len(pixels), 1, 0, pixel_format)
    assert unpacked.tolist() == [pixels]


@pytest.mark.parametrize("name", ["Mono10p", "Mono12p", "Mono12Packed"])
def test_harvesters_reads_the_same(gentl: None, name: str) -> None:
    from harvesters.util.pfnc import Dictionary

    pixels = np.random.default_rng(5).integers(0, PixelFormat(name).full_scale, (6, 8), np.uint16)
    data = pack(pixels, name)
    theirs = Dictionary.get_proxy(symbolic=name).expand(data).reshape(6, 8)
    assert np.array_equal(theirs, unpack(data, 8, 6, 0, PixelFormat(name)))


def test_the_numbers_of_the_formats_are_those_of_the_libraries(gentl: None) -> None:
    from harvesters.util.pfnc import dict_by_ints

    assert {dict_by_ints[value] for value in PFNC_VALUES.values()} == set(map(str, PixelFormat))
    assert {name.value: PFNC_VALUES[name] for name in PixelFormat} == PIXEL_FORMATS


@pytest.mark.parametrize("missing", [1, 5])
def test_a_buffer_that_is_too_short_is_refused(missing: int) -> None:
    data = np.zeros(4 * 6 - missing, np.uint8)
    with pytest.raises(ValueError, match="bytes instead of 24"):
        unpack(data, 4, 4, 0, PixelFormat.MONO12P)


def test_lines_that_end_inside_a_byte_are_refused() -> None:
    with pytest.raises(ValueError, match="whole bytes"):
        unpack(np.zeros(100, np.uint8), 5, 2, 0, PixelFormat.MONO12P)
