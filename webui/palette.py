"""The colours of the classes: as in screen.css, apart from each other also for the colour-blind.

Any two differ by at least 25 (CIE 1976) for normal sight and under protanopia, deuteranopia and
tritanopia, and each stands out from white by 3:1.  A letter says the same wherever they are used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

Bgr: TypeAlias = tuple[int, int, int]

_RGB: Final[Mapping[str, int]] = {
    "neutrophil": 0x0745E6,
    "eosinophil": 0x992608,
    "basophil": 0x891599,
    "lymphocyte": 0x009B58,
    "monocyte": 0xB5911B,
    "dead": 0x4A5050,
    "other": 0x0F1114,
    "unidentified": 0x8B979E,
}
_BRIGHT: Final = 0.18


def bgr(group: str) -> Bgr:
    """Return the colour of a group as OpenCV wants it."""
    colour = _RGB[group]
    return colour & 255, colour >> 8 & 255, colour >> 16


def ink(group: str) -> Bgr:
    """Return black or white, whichever is read better on the colour of a group (WCAG 2.2)."""
    linear = [
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in (channel / 255 for channel in bgr(group))
    ]
    luminance = sum(w * v for w, v in zip((0.0722, 0.7152, 0.2126), linear, strict=True))
    return (0, 0, 0) if luminance > _BRIGHT else (255, 255, 255)
