"""What the randomisation of training crops may change, and what it must keep."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.layout import BLANK_LEVEL
from models.train.data.augment import moved_whole, randomise_compartments

SIZE_PX = 96
SEEDS = st.integers(0, 2**32 - 1)


def disc(radius_px):
    plane = np.zeros((SIZE_PX, SIZE_PX), np.uint8)
    return cv2.circle(plane, (SIZE_PX // 2, SIZE_PX // 2), radius_px, 255, -1)


@given(SEEDS)
def test_a_whole_move_keeps_every_pixel_and_moves_image_and_labels_alike(seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (SIZE_PX, SIZE_PX), np.uint8)
    pair = np.dstack([image, 255 - image])
    gray, planes = moved_whole((image, pair), rng, 10, SIZE_PX - 20)
    assert gray.shape == (SIZE_PX - 20, SIZE_PX - 20)
    np.testing.assert_array_equal(planes, np.dstack([gray, 255 - gray]))
    inner = image[20:-20, 20:-20]
    views = [np.rot90(view, turns) for view in (gray, gray[::-1]) for turns in range(4)]
    windows = [np.lib.stride_tricks.sliding_window_view(v, inner.shape) for v in views]
    assert any((w == inner).all((2, 3)).any() for w in windows)


@given(SEEDS)
def test_recoloured_cells_keep_surroundings_and_a_nucleus_darker_than_the_cytoplasm(seed):
    rng = np.random.default_rng(seed)
    cell, nucleus = disc(34), disc(18)
    image = np.full((SIZE_PX, SIZE_PX), BLANK_LEVEL, np.uint8)
    image[cell > 0], image[nucleus > 0] = 195, 100
    out = randomise_compartments(image, cell, nucleus, rng)
    outside = cv2.dilate(cell, np.ones((9, 9), np.uint8)) == 0
    np.testing.assert_array_equal(out[outside], image[outside])
    middle, ring = disc(12) > 0, (disc(30) > 0) & (disc(24) == 0)
    assert out[middle].mean() < out[ring].mean() < BLANK_LEVEL


@pytest.mark.parametrize("nucleus", [disc(0) * 0, disc(34)])
def test_a_cell_without_one_of_its_compartments_stays_as_it_is(nucleus):
    image = np.full((SIZE_PX, SIZE_PX), 150, np.uint8)
    cell = disc(34)
    out = randomise_compartments(image, cell, nucleus, np.random.default_rng(1))
    np.testing.assert_array_equal(out, image)
