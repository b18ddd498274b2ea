"""The control slide: what is followed, the targets of a lot, and the verdict on a run."""

from __future__ import annotations

import logging
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from device.quality.westgard import Rule, rejects, violated
from device.records.record_types import LotRecord, PointRecord, RunState, TileRecord
from device.results.cell import FIVE_TYPES
from device.settings.numbers import HOW, parse_number
from device.status import StopReason
from hal.errors import InputError

if TYPE_CHECKING:
    from device.records.reader import RecordsReader
    from device.records.records import Records

log = logging.getLogger(__name__)

ESTABLISHING_RUNS: Final = 20
"""Runs from which the targets of a lot are established (CLSI C24: at least 20)."""

ANALYTES: Final[Mapping[str, str]] = {
    **{kind.value: "%" for kind in FIVE_TYPES},
    "red_cells": "1/mm2",
    "platelets": "1/mm2",
    "cell_od": "OD",
    "sharpness": "",
}
"""What is followed, with its unit."""

NO_RESULT: Final = "no result"
"""Stands in the place of a rule if the control slide gave no numbers."""


class ControlVerdict(StrEnum):
    """What a control run says about the instrument."""

    ESTABLISHING = "establishing"
    """The lot has no targets yet; the run helps to establish them."""

    ACCEPTED = "accepted"
    """No rule is violated."""

    WARNING = "warning"
    """1-2s alone."""

    REJECTED = "rejected"
    """A rule that rejects is violated, or the slide gave no numbers."""


@dataclass(frozen=True)
class Target:
    """Mean and standard deviation of one analyte of a lot."""

    mean: float
    sd: float


def parse_targets(entered: Any) -> dict[str, Target]:
    """Return targets from ``{"neutrophil": {"mean": 60.0, "sd": 3.5}, ...}``.

    Numbers may be texts, as a person types them.

    Raises InputError: an unknown analyte, a missing or impossible number.
    """
    if not isinstance(entered, Mapping):
        raise InputError("TARGETS-NOT-AN-OBJECT")
    return {name: _target(name, pair) for name, pair in entered.items()}


def _target(name: str, pair: Any) -> Target:
    shown = str(name)[:40].replace("_", " ")
    if name not in ANALYTES:
        raise InputError("TARGETS-VALUE-UNKNOWN", analyte=shown, known=", ".join(ANALYTES))
    try:
        mean, sd = (_number(pair[part]) for part in ("mean", "sd"))
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise InputError(
            "TARGETS-NUMBER-MISSING", analyte=shown, how_to_write_numbers=HOW
        ) from error
    largest = 100.0 if ANALYTES[name] == "%" else math.inf
    if not (0.0 <= mean <= largest and math.isfinite(mean) and 0.0 < sd < math.inf):
        raise InputError("TARGETS-OUT-OF-RANGE", analyte=shown.capitalize(), mean=mean, sd=sd)
    return Target(mean, sd)


def _number(entered: Any) -> float:
    if isinstance(entered, str):
        return parse_number(entered)
    if isinstance(entered, bool):
        raise TypeError(entered)
    return float(entered)


def established(points: Iterable[Mapping[str, float]]) -> dict[str, Target]:
    """Return mean and standard deviation per analyte; one that never varies has no target."""
    rows = list(points)
    targets = {}
    for name in ANALYTES:
        values = [row[name] for row in rows if name in row]
        if len(values) >= 2 and (sd := statistics.stdev(values)) > 0.0:
            targets[name] = Target(statistics.fmean(values), sd)
    return targets


def control_values(document: Mapping[str, Any], tiles: Iterable[TileRecord]) -> dict[str, float]:
    """Return the values of a run by name of the analyte; empty if it gave no numbers."""
    shares = {name: share["percent"] for name, share in document["differential"].items()}
    invalid = any(flag["level"] == "invalid" for flag in document["flags"])
    if invalid or any(percent is None for percent in shares.values()):
        return {}
    values = {name: float(percent) for name, percent in shares.items()}
    area_mm2 = document["tiles"].get("area_mm2")
    if area_mm2:
        values["red_cells"] = document["red_cells"] / area_mm2
        values["platelets"] = document["platelets"] / area_mm2
    usable = [tile for tile in tiles if tile.usable]
    for name in ("cell_od", "sharpness"):
        measured = [value for tile in usable if (value := getattr(tile, name)) is not None]
        if measured:
            values[name] = statistics.median(measured)
    return values


def scores(
    targets: Mapping[str, Target], points: Sequence[Mapping[str, float]], name: str
) -> list[float]:
    """Return the standardised values of one analyte, oldest first."""
    target = targets[name]
    return [(row[name] - target.mean) / target.sd for row in points if name in row]


def judge(
    targets: Mapping[str, Target],
    former: Sequence[Mapping[str, float]],
    values: Mapping[str, float],
) -> tuple[ControlVerdict, dict[str, tuple[Rule, ...]]]:
    """Judge the values of a run; return the verdict and the violated rules per analyte.

    Args:
        targets: of the lot.
        former: values of the lot's runs before, oldest first.
        values: of this run.
    """
    rules = {
        name: found
        for name in targets
        if name in values and (found := violated(scores(targets, [*former, values], name)))
    }
    if any(rejects(found) for found in rules.values()):
        return ControlVerdict.REJECTED, rules
    return (ControlVerdict.WARNING if rules else ControlVerdict.ACCEPTED), rules


def lot_targets(lot: LotRecord) -> dict[str, Target]:
    """Return the targets of a lot, empty while they are being established."""
    return {name: Target(**pair) for name, pair in (lot.targets or {}).items()}


def enter_point(records: Records, run_id: int, lot_id: int) -> PointRecord | None:
    """Judge a control run that has ended, and store its values; None for an aborted one.

    Raises RecordsError.
    """
    with records.reader() as reader:
        run, lot, document = reader.run(run_id), reader.control_lot(lot_id), reader.result(run_id)
        if run is None or lot is None or document is None or run.reason is StopReason.ABORTED:
            return None
        finished = run.state is RunState.COMPLETE
        values = control_values(document, reader.every_tile(run_id)) if finished else {}
        former = [point.values for point in _with_numbers(reader, lot_id)]
    verdict, rules = _verdict(lot, former, values)
    point_id = records.quality.add_point(lot_id, run_id, values, verdict, rules)
    if lot.targets is None and values and len(former) + 1 >= ESTABLISHING_RUNS:
        targets = established([*former, values])
        records.quality.set_targets(lot_id, {name: vars(t) for name, t in targets.items()})
    log.info("control run %d of lot %s: %s %s", run_id, lot.name, verdict, rules)
    with records.reader() as reader:
        return reader.control_point(point_id)


def _with_numbers(reader: RecordsReader, lot_id: int) -> list[PointRecord]:
    return [point for point in reader.every_control_point(lot_id) if point.values]


def _verdict(
    lot: LotRecord, former: Sequence[Mapping[str, float]], values: Mapping[str, float]
) -> tuple[ControlVerdict, dict[str, list[str]]]:
    if not values:
        return ControlVerdict.REJECTED, {NO_RESULT: [NO_RESULT]}
    if lot.targets is None:
        return ControlVerdict.ESTABLISHING, {}
    verdict, rules = judge(lot_targets(lot), former, values)
    return verdict, {name: [rule.value for rule in found] for name, found in rules.items()}
