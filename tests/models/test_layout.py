from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.layout import class_planes, space_to_depth


@given(
    block_px=st.sampled_from([2, 4, 8]),
    n=st.integers(1, 3),
    rows=st.integers(1, 4),
    columns=st.integers(1, 4),
    planes=st.integers(1, 3),
    seed=st.integers(0, 1000),
)
def test_every_pixel_goes_to_its_block_and_channel(
    block_px: int, n: int, rows: int, columns: int, planes: int, seed: int
) -> None:
    shape = (n, rows * block_px, columns * block_px, planes)
    images = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    folded = space_to_depth(images, block_px)
    assert folded.shape == (n, rows, columns, planes * block_px**2)
    for index in np.ndindex(shape):
        i, y, x, plane = index
        channel = plane * block_px**2 + (y % block_px) * block_px + x % block_px
        assert folded[i, y // block_px, x // block_px, channel] == images[index]


def test_images_without_a_plane_axis_have_one_plane() -> None:
    images = np.arange(2 * 8 * 16, dtype=np.uint8).reshape(2, 8, 16)
    assert np.array_equal(space_to_depth(images, 4), space_to_depth(images[..., None], 4))


def test_images_that_are_not_contiguous_fold_alike() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 24), dtype=np.uint8)
    assert np.array_equal(
        space_to_depth(images[:, ::-1, 8:], 8), space_to_depth(images[:, ::-1, 8:].copy(), 8)
    )


def test_planes_are_gray_cell_and_nucleus() -> None:
    crops = np.array([[[10, 20, 30]]], np.uint8)
    masks = np.array([[[0, 1, 2]]], np.uint8)
    assert class_planes(crops, masks).tolist() == [[[[10, 0, 0], [20, 255, 0], [30, 255, 255]]]]
