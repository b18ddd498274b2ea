"""Small charts drawn with OpenCV: canvas, axes, curves, text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
"""uint8 (height, width, 3), blue, green, red."""

Colour = tuple[int, int, int]

INK: Colour = (40, 40, 40)
PALE: Colour = (215, 215, 215)
PAPER: Colour = (255, 255, 255)
# Okabe and Ito's colours, which people with colour blindness tell apart too.
PALETTE: tuple[Colour, ...] = (
    (178, 114, 0),
    (0, 94, 213),
    (115, 158, 0),
    (167, 121, 204),
    (0, 159, 230),
    (233, 180, 86),
)

_FONT = cv2.FONT_HERSHEY_SIMPLEX


def blank(width_px: int, height_px: int) -> Picture:
    """Return a white picture."""
    return np.full((height_px, width_px, 3), 255, np.uint8)


def write(
    picture: Picture,
    text: str,
    place_px: tuple[int, int],
    *,
    size: float = 0.45,
    colour: Colour = INK,
    align: str = "left",
) -> None:
    """Write a line; ``place_px`` is its baseline's left end, middle or right end."""
    width = cv2.getTextSize(text, _FONT, size, 1)[0][0]
    x = place_px[0] - {"left": 0, "middle": width // 2, "right": width}[align]
    cv2.putText(picture, text, (x, place_px[1]), _FONT, size, colour, 1, cv2.LINE_AA)


@dataclass(frozen=True)
class Axes:
    """A frame on a picture with linear axes.

    Attributes:
        left_px: of the frame.
        top_px: likewise.
        width_px: likewise.
        height_px: likewise.
        x_range: values at its left and right edge.
        y_range: values at its lower and upper edge.
    """

    left_px: int
    top_px: int
    width_px: int
    height_px: int
    x_range: tuple[float, float]
    y_range: tuple[float, float]

    def pixel(self, x: float, y: float) -> tuple[int, int]:
        """Return where a value lies; beyond the frame it is moved to its edge."""
        across = (x - self.x_range[0]) / (self.x_range[1] - self.x_range[0])
        up = (y - self.y_range[0]) / (self.y_range[1] - self.y_range[0])
        return (
            self.left_px + round(float(np.clip(across, 0.0, 1.0)) * self.width_px),
            self.top_px + self.height_px - round(float(np.clip(up, 0.0, 1.0)) * self.height_px),
        )

    def draw(
        self,
        picture: Picture,
        x_ticks: Sequence[tuple[float, str]],
        y_ticks: Sequence[tuple[float, str]],
        title: str,
    ) -> None:
        """Draw the frame, its grid, its ticks and a title above it."""
        right, bottom = self.left_px + self.width_px, self.top_px + self.height_px
        for value, label in x_ticks:
            x, _ = self.pixel(value, self.y_range[0])
            cv2.line(picture, (x, self.top_px), (x, bottom), PALE, 1)
            write(picture, label, (x, bottom + 18), size=0.4, align="middle")
        for value, label in y_ticks:
            _, y = self.pixel(self.x_range[0], value)
            cv2.line(picture, (self.left_px, y), (right, y), PALE, 1)
            write(picture, label, (self.left_px - 6, y + 4), size=0.4, align="right")
        cv2.rectangle(picture, (self.left_px, self.top_px), (right, bottom), INK, 1)
        write(picture, title, (self.left_px, self.top_px - 10), size=0.5)

    def curve(self, picture: Picture, points: Sequence[tuple[float, float]], index: int) -> None:
        """Draw points joined by lines in a colour of the palette; NaN leaves a gap."""
        colour = PALETTE[index % len(PALETTE)]
        for (x0, y0), (x1, y1) in pairwise(points):
            if not np.isnan(y0 + y1):
                ends = self.pixel(x0, y0), self.pixel(x1, y1)
                cv2.line(picture, *ends, colour, 2, cv2.LINE_AA)
        for x, y in points:
            if not np.isnan(y):
                cv2.circle(picture, self.pixel(x, y), 4, colour, -1, cv2.LINE_AA)


def legend(
    picture: Picture, names: Sequence[str], place_px: tuple[int, int], step_px: int = 20
) -> None:
    """Write the names of curves below each other in the colours of the palette."""
    x, y = place_px
    for index, name in enumerate(names):
        colour = PALETTE[index % len(PALETTE)]
        cv2.line(picture, (x, y - 4), (x + 22, y - 4), colour, 2, cv2.LINE_AA)
        cv2.circle(picture, (x + 11, y - 4), 4, colour, -1, cv2.LINE_AA)
        write(picture, name, (x + 30, y), size=0.42)
        y += step_px


def ticks(low: float, high: float, most: int = 6) -> list[tuple[float, str]]:
    """Return round values between two numbers, at most about ``most``, with their labels."""
    raw = (high - low) / max(1, most)
    power = 10.0 ** np.floor(np.log10(raw))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw)
    first = np.ceil(low / step - 1e-9) * step
    values = [float(first + i * step) for i in range(int((high - first) / step + 1e-9) + 1)]
    return [(value, f"{round(value, 10):g}") for value in values]
