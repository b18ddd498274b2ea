"""A Levey-Jennings chart: one analyte of a control lot over its runs, as shapes to draw.

Levey S, Jennings ER: The use of control charts in the clinical laboratory.  Am J Clin Pathol
20:1059-1066, 1950.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from device.quality.control import Target, established
from device.quality.westgard import Rule, rejects
from device.records.record_types import PointRecord

WIDTH: Final = 760
HEIGHT: Final = 300
LARGEST_Z: Final = 4.0
POINTS: Final = 30
_LEFT, _RIGHT, _TOP, _BOTTOM = 96, 20, 26, 26


@dataclass(frozen=True)
class Line:
    """A horizontal line of the chart: ``z`` standard deviations from the mean."""

    z: int
    y: float
    label: str


@dataclass(frozen=True)
class Mark:
    """One control run.

    Attributes:
        shape: circle, accepted; square, warning; diamond, rejected.
        rules: names of the violated rules; empty if no rule is violated.
        beyond: whether the value lies outside the chart and is drawn at its edge.
    """

    point: PointRecord
    x: float
    y: float
    value: float
    z: float
    shape: str
    rules: str
    beyond: bool

    @property
    def near_end(self) -> bool:
        """Whether a text centred on it would leave the chart."""
        return self.x > WIDTH - _RIGHT - 90


@dataclass(frozen=True)
class Chart:
    """The chart of one analyte.

    Attributes:
        target: what the lines stand for.
        provisional: whether the target is only that of the runs so far.
        path: of the line that joins the runs.
    """

    target: Target
    provisional: bool
    lines: tuple[Line, ...]
    marks: tuple[Mark, ...]
    path: str


def chart(
    targets: Mapping[str, Target], points: Sequence[PointRecord], analyte: str
) -> Chart | None:
    """Return the chart of the last runs; None while nothing can be drawn."""
    measured = [point for point in points if analyte in point.values]
    target = targets.get(analyte)
    provisional = target is None and not targets
    if provisional:
        target = established(point.values for point in measured).get(analyte)
    if target is None:
        return None
    shown = measured[-POINTS:]
    marks = tuple(
        _mark(point, target, analyte, _x(place, len(shown))) for place, point in enumerate(shown)
    )
    lines = tuple(
        Line(z, _y(z), f"{target.mean + z * target.sd:.3g}") for z in (3, 2, 1, 0, -1, -2, -3)
    )
    path = " ".join(f"{mark.x:.1f},{mark.y:.1f}" for mark in marks)
    return Chart(target, provisional, lines, marks, path)


def _mark(point: PointRecord, target: Target, analyte: str, x: float) -> Mark:
    value = point.values[analyte]
    z = (value - target.mean) / target.sd
    rules = [Rule(name) for name in point.rules.get(analyte, ())]
    shape = "diamond" if rejects(rules) else "square" if rules else "circle"
    inside = min(max(z, -LARGEST_Z), LARGEST_Z)
    return Mark(point, x, _y(inside), value, z, shape, ", ".join(rules), beyond=inside != z)


def _x(place: int, count: int) -> float:
    step = (WIDTH - _LEFT - _RIGHT) / max(1, min(POINTS, max(count, 10)) - 1)
    return _LEFT + place * step


def _y(z: float) -> float:
    return _TOP + (LARGEST_Z - z) / (2 * LARGEST_Z) * (HEIGHT - _TOP - _BOTTOM)
