"""The evaluation as rows: figure, interval, what the paper reached, the bar, passed or not."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from device.laboratory.figures import Mean, ObjectCount, Proportion
from device.laboratory.mosaic_truth import MosaicScore
from device.laboratory.scores import LEAST_COUNTED, DonorResult, Evaluation
from device.results.cell import UNIDENTIFIED, CellKind


@dataclass(frozen=True)
class Bar:
    """What the paper reached (Kaza et al., BME Frontiers 2022) and what we must."""

    paper: float | None = None
    at_least: float | None = None
    at_most: float | None = None

    def met(self, value: float) -> bool | None:
        """Return whether a value reaches the bar; None without a bar."""
        if self.at_least is not None:
            return value >= self.at_least
        if self.at_most is not None:
            return abs(value) <= self.at_most
        return None

    def __str__(self) -> str:
        if self.at_least is not None:
            return f">= {self.at_least:g}"
        return "-" if self.at_most is None else f"<= {self.at_most:g}"


@dataclass(frozen=True)
class Row:
    """One figure of the table.

    Attributes:
        name: what it is.
        value: NaN where it could not be measured.
        low: lower end of the 95 % interval, None without one.
        high: upper end.
        n: number of cells, views or objects behind it.
        unit: ``%`` or empty.
        bar: to compare with.
        note: what else the reader must know.
    """

    name: str
    value: float
    low: float | None
    high: float | None
    n: int
    unit: str = "%"
    bar: Bar = Bar()
    note: str = ""

    @property
    def passed(self) -> bool | None:
        """Whether the bar is met; False where the figure could not be measured."""
        return self.bar.met(self.value)

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        value = None if math.isnan(self.value) else self.value
        return asdict(self) | {"value": value, "passed": self.passed}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Row:
        """Return the row of its JSON form."""
        fields = {key: value for key, value in document.items() if key != "passed"}
        value = math.nan if fields["value"] is None else fields["value"]
        return cls(**fields | {"value": value, "bar": Bar(**fields["bar"])})

    def cells(self) -> tuple[str, ...]:
        """Return name, value, interval, n, paper, bar, passed, note as text."""
        digits = {"%": 1, "": 4}.get(self.unit, 2)
        value = "-" if math.isnan(self.value) else f"{self.value:.{digits}f} {self.unit}".strip()
        interval = "" if self.low is None else f"{self.low:.{digits}f}-{self.high:.{digits}f}"
        paper = "-" if self.bar.paper is None else f"{self.bar.paper:g}"
        verdict = {True: "yes", False: "NO", None: ""}[self.passed]
        return self.name, value, interval, str(self.n), paper, str(self.bar), verdict, self.note


HEADER = ("figure", "value", "95 % interval", "n", "paper", "bar", "met", "")


def rows(cohort: Evaluation, balanced: Evaluation | None = None) -> list[Row]:
    """Return the table of an evaluation.

    Args:
        cohort: donors as the paper's.
        balanced: the same with all kinds of white cells equally often, for the rare ones.
    """
    cell, nucleus = cohort.mean_dice()
    calibration = cohort.calibration
    return [
        _share("white cells found", cohort.found, Bar(at_least=99.0)),
        _share("false finds among the counted", cohort.false_finds, Bar(at_most=1.0)),
        _mean("Dice, whole cell", cell, Bar(0.9899, at_least=0.990)),
        _mean("Dice, nucleus", nucleus, Bar(0.9718, at_least=0.975)),
        _share("dead or alive", cohort.alive_or_dead, Bar(98.76, at_least=99.0)),
        _share("five-part accuracy", cohort.five_part, Bar(94.02, at_least=97.0)),
        _worst_class("worst class sensitivity", cohort),
        *(
            []
            if balanced is None
            else [_worst_class("the same, all kinds equally often", balanced)]
        ),
        *_count_rows("red cells", cohort, lambda donor: donor.red_cells, 3.0),
        *_count_rows("platelets", cohort, lambda donor: donor.platelets, 10.0),
        _share("unidentified", cohort.unidentified),
        _share("five-part accuracy of identified cells", cohort.five_part_identified),
        Row(
            "expected calibration error",
            100.0 * calibration.expected_error,
            None,
            None,
            calibration.n,
        ),
        _share("class shares inside their interval", cohort.interval_coverage),
        *_mosaic_rows(cohort.mosaic),
    ]


def _mosaic_rows(mosaic: MosaicScore) -> list[Row]:
    errors_px = np.array(mosaic.errors_px) if mosaic.errors_px else np.array([math.nan])
    n = len(mosaic.errors_px)
    twice = Proportion(mosaic.counted_twice, mosaic.counted)
    lost = Proportion(mosaic.border_lost, mosaic.border_cells)
    return [
        Row(
            "tiles off their place, median",
            float(np.median(errors_px)),
            None,
            None,
            n,
            "px",
            Bar(at_most=0.5),
        ),
        Row(
            "the same, 99 % of the tiles",
            float(np.quantile(errors_px, 0.99)),
            None,
            None,
            n,
            "px",
            Bar(at_most=2.0),
        ),
        Row("the same, worst tile", float(errors_px.max()), None, None, n, "px", Bar(at_most=5.0)),
        _share("cells counted twice among the counted", twice, Bar(at_most=0.0)),
        _share("cells at borders of tiles not counted", lost, Bar(at_most=1.0)),
    ]


def _share(name: str, share: Proportion, bar: Bar = Bar(), note: str = "") -> Row:
    low, high = share.interval
    return Row(name, share.percent, low, high, share.n, bar=bar, note=note)


def _mean(name: str, mean: Mean, bar: Bar) -> Row:
    low, high = mean.value - mean.half_width, mean.value + mean.half_width
    return Row(name, mean.value, low, high, mean.n, unit="", bar=bar)


def _worst_class(name: str, evaluation: Evaluation) -> Row:
    bar = Bar(75.0, at_least=92.0)
    worst = evaluation.worst_sensitivity
    if worst is None:
        return Row(name, math.nan, None, None, 0, bar=bar)
    kind, share = worst
    return _share(name, share, bar, kind.value)


def _count_rows(
    name: str,
    evaluation: Evaluation,
    objects: Callable[[DonorResult], ObjectCount],
    at_most_percent: float,
) -> list[Row]:
    """Return the signed error of the count: all donors together, the median one, the worst one.

    Donors with few such objects have a row of their own, since one object is much of their count.
    """
    bar = Bar(at_most=at_most_percent)
    total = evaluation.total(objects)
    found = [Row(f"{name}, count error, all donors", total.error_percent, None, None, total.true)]
    errors = sorted(evaluation.count_errors(objects).items(), key=lambda item: abs(item[1]))
    true = {donor.name: objects(donor).true for donor in evaluation.donors}
    if errors:
        for which, (donor, error) in (
            ("median donor", errors[len(errors) // 2]),
            ("worst donor", errors[-1]),
        ):
            row = Row(f"{name}, count error, {which}", error, None, None, true[donor], bar=bar)
            found.append(replace(row, note=f"{donor}, of {len(errors)}"))
    scarce = [donor for donor in evaluation.donors if donor.name not in dict(errors)]
    if scarce:
        few = Evaluation(tuple(scarce))
        total = few.total(objects)
        excess = (total.counted - total.true) / few.tiles
        title = f"{name}, counted too many per tile, {len(scarce)} donors with < {LEAST_COUNTED}"
        found.append(Row(title, excess, None, None, total.true, unit="per tile"))
    return found


def as_dict(cohort: Evaluation, balanced: Evaluation | None = None) -> dict[str, Any]:
    """Return everything an evaluation reached, as JSON."""
    document = {
        "rows": [row.as_dict() for row in rows(cohort, balanced)],
        **_details(cohort),
        "tile_ms": cohort.tile_ms(),
        "tiles": cohort.tiles,
        "tiles_refused": cohort.tiles_refused,
        "calibration": cohort.calibration.as_dict(),
        "donors": [donor.as_dict() for donor in cohort.donors],
    }
    if balanced is not None:
        document["balanced"] = _details(balanced)
    return document


def _details(evaluation: Evaluation) -> dict[str, Any]:
    return {
        **{name: share.as_dict() for name, share in _shares(evaluation).items()},
        "sensitivities": {
            kind.value: share.as_dict() for kind, share in evaluation.sensitivities.items()
        },
        "dice": {
            name: {"cell": cell.as_dict(), "nucleus": nucleus.as_dict()}
            for name, (cell, nucleus) in _dice_by_kind(evaluation).items()
        },
        "confusion": {
            kind.value: {
                **{called.value: evaluation.names[kind, called] for called in CellKind},
                UNIDENTIFIED: evaluation.called[kind, UNIDENTIFIED],
                "missed": sum(donor.comparison.missed[kind] for donor in evaluation.donors),
            }
            for kind in CellKind
        },
    }


def _shares(evaluation: Evaluation) -> Mapping[str, Proportion]:
    return {
        "found": evaluation.found,
        "false_finds": evaluation.false_finds,
        "five_part": evaluation.five_part,
        "five_part_identified": evaluation.five_part_identified,
        "unidentified": evaluation.unidentified,
        "alive_or_dead": evaluation.alive_or_dead,
        "interval_coverage": evaluation.interval_coverage,
    }


def _dice_by_kind(evaluation: Evaluation) -> Mapping[str, tuple[Mean, Mean]]:
    by_kind = {kind.value: evaluation.mean_dice(kind) for kind in CellKind}
    return {"all": evaluation.mean_dice(), **by_kind}


def text(cohort: Evaluation, balanced: Evaluation | None = None) -> str:
    """Return the tables for a person."""
    parts = [
        aligned([HEADER, *(row.cells() for row in rows(cohort, balanced))]),
        f"{cohort.tiles} tiles, {cohort.tiles_refused} refused;"
        f" median {cohort.tile_ms():.1f} ms per tile",
        aligned(_by_kind(cohort)),
        aligned(confusion(cohort)),
    ]
    if balanced is not None:
        parts.append("all kinds equally often:\n" + aligned(confusion(balanced)))
    return "\n\n".join(parts)


def _by_kind(evaluation: Evaluation) -> list[tuple[str, ...]]:
    table: list[tuple[str, ...]] = [("kind", "sensitivity", "Dice cell", "Dice nucleus", "views")]
    for kind, share in evaluation.sensitivities.items():
        cell, nucleus = evaluation.mean_dice(kind)
        dice = (f"{mean.value:.4f}" if mean.n else "-" for mean in (cell, nucleus))
        table.append((kind.value, str(share), *dice, str(cell.n)))
    return table


def confusion(evaluation: Evaluation) -> list[tuple[str, ...]]:
    """Return the confusion table as text: most probable kind per true kind."""
    names, called = evaluation.names, evaluation.called
    table: list[tuple[str, ...]] = [
        ("true \\ called", *(kind.value for kind in CellKind), UNIDENTIFIED)
    ]
    table += [
        (
            kind.value,
            *(str(names[kind, other]) for other in CellKind),
            str(called[kind, UNIDENTIFIED]),
        )
        for kind in CellKind
    ]
    return table


def aligned(table: Sequence[Sequence[str]]) -> str:
    """Return a table as text in columns, the first flush left."""
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    return "\n".join(
        "  ".join(
            entry.ljust(width) if column in (0, len(widths) - 1) else entry.rjust(width)
            for column, (entry, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    )
