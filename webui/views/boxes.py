"""Named boxes in the colours of the classes, drawn into a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from webui.catalogue import label
from webui.views.palette import bgr, ink

_MARGIN: Final = 4
_FONT: Final = cv2.FONT_HERSHEY_SIMPLEX
_FONT_SCALE: Final = 0.8
_Rectangle: TypeAlias = tuple[int, int, int, int]


@dataclass(frozen=True)
class Box:
    """Where a cell is.

    Attributes:
        bbox_px: x0, y0, x1, y1 in the picture.
        group: its class, or unidentified.
        here: whether it was counted in this picture; a neighbour's box is thinner.
    """

    bbox_px: tuple[float, float, float, float]
    group: str
    here: bool = True


def draw(picture: NDArray[np.uint8], boxes: Sequence[Box]) -> None:
    """Draw ``boxes`` into ``picture``, uint8 (h, w, 3) BGR, each with the name of its class."""
    frames = [_frame(box) for box in boxes]
    for box, (left, top, right, bottom) in zip(boxes, frames, strict=True):
        width = 3 if box.here else 1
        cv2.rectangle(picture, (left, top), (right, bottom), bgr(box.group), width)
    named: list[_Rectangle] = []
    for box, frame in zip(boxes, frames, strict=True):
        named.append(_name(picture, box.group, frame, [*frames, *named]))


def _frame(box: Box) -> _Rectangle:
    left, top, right, bottom = (round(side) for side in box.bbox_px)
    return left - _MARGIN, top - _MARGIN, right + _MARGIN, bottom + _MARGIN


def _name(
    picture: NDArray[np.uint8], group: str, frame: _Rectangle, taken: list[_Rectangle]
) -> _Rectangle:
    """Write the name above the box, or below if that place is taken; return its place."""
    name = label("kind_short", group)
    (width, height), _ = cv2.getTextSize(name, _FONT, _FONT_SCALE, 2)
    width, height = width + 8, height + 10
    left = max(0, min(frame[0], picture.shape[1] - width))
    above = (left, frame[1] - height, left + width, frame[1] - 1)
    below = (left, frame[3] + 1, left + width, frame[3] + height)
    free = above[1] >= 0 and not any(_overlap(above, other) for other in taken)
    place = above if free else below
    cv2.rectangle(picture, place[:2], place[2:], bgr(group), -1)
    at = (place[0] + 4, place[3] - 6)
    cv2.putText(picture, name, at, _FONT, _FONT_SCALE, ink(group), 2, cv2.LINE_AA)
    return place


def _overlap(one: _Rectangle, other: _Rectangle) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
