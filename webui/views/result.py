"""A stored result in the words and shapes of the screen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from device.results.cell import FIVE_TYPES, UNIDENTIFIED, Cell, CellKind
from device.status import StopReason
from webui.catalogue import label, text

if TYPE_CHECKING:
    from device.records.record_types import CellRecord, PointRecord, RunRecord

GROUPS: Final = (*(kind.value for kind in FIVE_TYPES), UNIDENTIFIED, "dead", "other")
_AXIS_ENDS_PERCENT: Final = (20, 40, 60, 80, 100)


@dataclass(frozen=True)
class ShareRow:
    """One row of the differential; texts are ready to print, numbers are percent or None."""

    kind: str
    label: str
    n: int
    percent: float | None
    low: float | None
    high: float | None

    @property
    def percent_text(self) -> str:
        """Share with one decimal, or a dash."""
        return text("app.no_value") if self.percent is None else f"{self.percent:.1f}"

    @property
    def interval_text(self) -> str:
        """Exact interval with one decimal, or a dash."""
        if self.low is None or self.high is None:
            return text("app.no_value")
        return text("result.interval_text", low=f"{self.low:.1f}", high=f"{self.high:.1f}")


def share_rows(document: Mapping[str, Any]) -> list[ShareRow]:
    """Return the five rows, without percentages if a flag makes the result invalid."""
    shares = document["differential"]
    hidden = any(flag["level"] == "invalid" for flag in document["flags"])
    rows = []
    for kind in FIVE_TYPES:
        share = shares[kind.value]
        interval = (None, None, None) if hidden else (share["percent"], share["low"], share["high"])
        rows.append(ShareRow(kind.value, label("kind", kind.value), share["n"], *interval))
    return rows


def axis_end_percent(rows: Iterable[ShareRow]) -> int:
    """Return the end of the bar picture's axis: the first round one that holds every interval."""
    highest = max((row.high for row in rows if row.high is not None), default=100.0)
    return next(end for end in _AXIS_ENDS_PERCENT if highest <= end or end == 100)


def coverage(document: Mapping[str, Any]) -> str:
    """Return how much of the plan was seen."""
    tiles = document["tiles"]
    seen = 100.0 * tiles["analysed"] / tiles["planned"] if tiles["planned"] else 0.0
    return text(
        "result.coverage",
        analysed=f"{tiles['analysed']:,}",
        planned=f"{tiles['planned']:,}",
        percent=f"{seen:.0f}",
    )


def per_100(document: Mapping[str, Any], name: str) -> str:
    """Return ``dead`` or ``other`` per 100 white cells, or an empty text below 50 cells."""
    value = document.get(f"{name}_per_100")
    return "" if value is None else text("result.per_100", value=f"{value:.1f}")


def reason_label(run: RunRecord) -> str:
    """Return why the run ended, or that it has not."""
    return label("result.reason", run.reason.value if run.reason else run.state.value)


def outcome(run: RunRecord) -> str:
    """Return the state of the run, or ``refused`` for a complete run without numbers."""
    return StopReason.REFUSED.value if run.reason is StopReason.REFUSED else run.state.value


def when(utc: str | None) -> str:
    """Return an ISO time as ``23 Nov 2026, 14:05`` in the instrument's time zone."""
    if utc is None:
        return text("app.no_value")
    return f"{datetime.fromisoformat(utc).astimezone():%-d %b %Y, %H:%M}"


def summary(document: Mapping[str, Any] | None) -> str:
    """Return the five shares in one line, or an empty text if there are no percentages."""
    if document is None:
        return ""
    rows = share_rows(document)
    if any(row.percent is None for row in rows):
        return ""
    return "  ".join(f"{row.label[:1]} {row.percent_text}" for row in rows)


def group_of(cell: CellRecord | Cell) -> str:
    """Return the group a cell is shown in: its class, or unidentified."""
    return CellKind(cell.kind).value if cell.identified else UNIDENTIFIED


def grouped(cells: Iterable[CellRecord]) -> dict[str, list[CellRecord]]:
    """Return the cells per group, every group named, the least certain first."""
    groups: dict[str, list[CellRecord]] = {name: [] for name in GROUPS}
    for cell in cells:
        groups[group_of(cell)].append(cell)
    for members in groups.values():
        members.sort(key=lambda cell: (best_probability(cell), cell.id))
    return groups


def best_probability(cell: CellRecord) -> float:
    """Return the probability of the cell's best class."""
    return max(cell.probabilities.values())


def neighbours(numbers: Sequence[int], number: int) -> tuple[int | None, int | None]:
    """Return the numbers before and after ``number`` in a list that holds it."""
    place = numbers.index(number)
    return (
        numbers[place - 1] if place > 0 else None,
        numbers[place + 1] if place + 1 < len(numbers) else None,
    )


def verdict_icon(verdict: str) -> str:
    """Return the icon that goes with the verdict on a check or a control run."""
    icons = {"pass": "check", "accepted": "check", "warn": "warning", "warning": "warning"}
    icons |= {"fail": "invalid", "rejected": "invalid"}
    return icons.get(verdict, "info")


def measured(result: Mapping[str, Any]) -> str:
    """Return what a check measured, or a dash."""
    value = result["measured"]
    return text("app.no_value") if value is None else f"{value:.4g}"


def violations(point: PointRecord) -> str:
    """Return the violated rules of a control run, analyte by analyte."""
    return "; ".join(
        f"{label('control.analyte', name)} {', '.join(rules)}"
        for name, rules in point.rules.items()
    )
