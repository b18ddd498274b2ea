from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.layout import BLANK_LEVEL
from models.train.data.conversions import StainMaps, optical_density, unmix, uv_like

GLASS, RED_CELL, CYTOPLASM, NUCLEUS = (
    (215, 235, 250),
    (150, 160, 205),
    (205, 190, 200),
    (125, 45, 75),
)


def stained(glass: tuple[int, int, int] = GLASS) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A drawn stained field, BGR, and its labels: 1 red cell, 2 cytoplasm, 3 nucleus."""
    labels = np.zeros((200, 200), np.uint8)
    for centre in ((40, 40), (160, 40), (40, 160), (165, 165), (100, 25)):
        cv2.circle(labels, centre, 21, 1, -1)
    cv2.circle(labels, (100, 105), 40, 2, -1)
    cv2.circle(labels, (95, 105), 22, 3, -1)
    colours = np.array([glass, RED_CELL, CYTOPLASM, NUCLEUS], np.float32)
    noise = np.random.default_rng(0).normal(0, 2, (200, 200, 3))
    image = cv2.GaussianBlur(colours[labels], (0, 0), 0.8) * np.array(glass) / np.array(GLASS)
    return np.clip(image + noise, 0, 255).astype(np.uint8), labels


def medians(gray: NDArray[np.uint8], labels: NDArray[np.uint8]) -> list[float]:
    return [float(np.median(gray[labels == level])) for level in range(4)]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 500))
def test_every_conversion_keeps_the_order_of_deep_uv(seed: int) -> None:
    image, labels = stained()
    glass, red_cell, cytoplasm, nucleus = medians(
        uv_like(unmix(image), np.random.default_rng(seed)), labels
    )
    assert nucleus < cytoplasm < glass
    assert nucleus < red_cell < glass
    assert glass == pytest.approx(BLANK_LEVEL, abs=6)


def test_the_plain_conversion_has_the_transmission_of_the_literature() -> None:
    image, labels = stained()
    glass, red_cell, _, nucleus = medians(uv_like(unmix(image)), labels)
    assert glass / BLANK_LEVEL == pytest.approx(1.0, abs=0.02)
    assert red_cell / BLANK_LEVEL == pytest.approx(10**-0.13, abs=0.06)
    assert nucleus / BLANK_LEVEL == pytest.approx(10**-0.45, abs=0.08)


def test_conversions_of_one_image_differ() -> None:
    maps = unmix(stained()[0])
    rng = np.random.default_rng(4)
    assert not np.array_equal(uv_like(maps, rng), uv_like(maps, rng))


@settings(max_examples=20, deadline=None)
@given(blue=st.integers(170, 250), green=st.integers(190, 250), red=st.integers(200, 250))
def test_the_colour_of_the_glass_does_not_matter(blue: int, green: int, red: int) -> None:
    image, labels = stained((blue, green, red))
    assert np.median(optical_density(image)[labels == 0]) < 0.02


def test_a_part_of_the_maps_is_the_map_of_the_part() -> None:
    maps = unmix(stained()[0])
    part = maps.crop(slice(10, 50), slice(20, 90))
    assert isinstance(part, StainMaps)
    assert np.array_equal(uv_like(part), uv_like(maps)[10:50, 20:90])
