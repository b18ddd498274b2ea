"""The colours of the classes; the colour-blind can tell them apart, too.

Any two differ by at least 30 (CIE 1976) for normal sight and under protanopia, deuteranopia and
tritanopia; a letter in :func:`ink` stands out from each by 7:1 and says the same.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from device.results.cell import TRAITS, UNIDENTIFIED, CellKind
from webui.views.result import GROUPS

Bgr: TypeAlias = tuple[int, int, int]

_UNIDENTIFIED_RGB: Final = 0x8F9AA6
_BRIGHT: Final = 0.18


def bgr(group: str) -> Bgr:
    """Return the colour of a group as OpenCV wants it."""
    colour = _UNIDENTIFIED_RGB if group == UNIDENTIFIED else TRAITS[CellKind(group)].colour_rgb
    return colour & 255, colour >> 8 & 255, colour >> 16


def ink(group: str) -> Bgr:
    """Return black or white, whichever is read better on the colour of a group (WCAG 2.2)."""
    linear = [
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in (channel / 255 for channel in bgr(group))
    ]
    luminance = sum(w * v for w, v in zip((0.0722, 0.7152, 0.2126), linear, strict=True))
    return (0, 0, 0) if luminance > _BRIGHT else (255, 255, 255)


def style_sheet() -> str:
    """Return the colours as CSS: each group is a class with ``--class`` and ``--class-ink``."""
    return "".join(
        f".{group} {{ --class: #{bytes(bgr(group)[::-1]).hex()};"
        f" --class-ink: #{bytes(ink(group)).hex()}; }}\n"
        for group in GROUPS
    )
