"""The colours of the classes, for every kind of sight."""

from __future__ import annotations

import re
from itertools import combinations

import cv2
import numpy as np
import pytest
from flask.testing import FlaskClient
from numpy.typing import NDArray

from webui.views.palette import bgr, ink
from webui.views.result import GROUPS

# Linear RGB as it is seen with one kind of cone missing (Machado et al., 2009, severity 1.0).
SIGHTS = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}


def linear(colour: tuple[int, int, int]) -> NDArray[np.float64]:
    """Return linear RGB of a BGR colour."""
    value = np.array(colour[::-1]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def lab(rgb: NDArray[np.float64]) -> NDArray[np.float32]:
    value = np.clip(rgb, 0, 1)
    encoded = np.where(value <= 0.0031308, value * 12.92, 1.055 * value ** (1 / 2.4) - 0.055)
    return np.asarray(cv2.cvtColor(np.float32(encoded)[None, None], cv2.COLOR_RGB2LAB)[0, 0])


def luminance(colour: tuple[int, int, int]) -> float:
    return float(linear(colour) @ [0.2126, 0.7152, 0.0722])


def contrast(one: tuple[int, int, int], other: tuple[int, int, int]) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_pictures_and_pages_use_the_same_colours(screen: FlaskClient) -> None:
    sheet = screen.get("/classes.css")
    assert sheet.mimetype == "text/css"
    for group in GROUPS:
        found = re.search(
            rf"^\.{group} \{{ --class: #([0-9a-f]{{6}}); --class-ink: #([0-9a-f]{{6}}); \}}$",
            sheet.text,
            re.MULTILINE,
        )
        assert found, group
        assert bytes.fromhex(found[1]) == bytes(bgr(group)[::-1])
        assert bytes.fromhex(found[2]) == bytes(ink(group))


@pytest.mark.parametrize("sight", SIGHTS)
def test_any_two_classes_are_told_apart(sight: str) -> None:
    seen = {group: lab(SIGHTS[sight] @ linear(bgr(group))) for group in GROUPS}
    for one, other in combinations(GROUPS, 2):
        assert np.linalg.norm(seen[one] - seen[other]) >= 30, (one, other)


@pytest.mark.parametrize("group", GROUPS)
def test_letters_are_read_on_their_colour_and_the_colour_is_seen_on_white(group: str) -> None:
    assert contrast(ink(group), bgr(group)) >= 7.0
    assert contrast(bgr(group), (255, 255, 255)) >= 2.8
