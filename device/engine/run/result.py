"""The document of a result: the same in records, API and command line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from device.engine.state.progress import Counts
from device.records.reader import RecordsReader
from device.records.record_types import CellRecord, RunState, TileRecord, TileState
from device.records.records import RunEnd
from device.results.differential import Flag, FlagLevel, ScanContext, differential
from device.status import StopReason
from hal.errors import LeukoluxError


@dataclass(frozen=True)
class RunFacts:
    """What a result is computed from.

    Attributes:
        counts: what was counted.
        lid_openings: how often the lid was opened during the run.
        area_mm2: area that the analysed tiles show, None if unknown.
        dose: of the whole sample, as :meth:`device.imaging.dose.DoseLedger.summary`.
        duration_s: from Start to now, None if unknown.
        control_lot: lot of the control slide, None for a sample of a person.
        operator: who started the run, or empty.
        calibration: the results of calibrations that the run used.
        notes: flags in addition to those of the count.
    """

    run_id: int
    sample_id: str
    counts: Counts
    lid_openings: int
    area_mm2: float | None
    dose: Mapping[str, float]
    versions: Mapping[str, str]
    duration_s: float | None
    control_lot: int | None = None
    operator: str = ""
    calibration: Sequence[Mapping[str, Any]] = ()
    notes: tuple[Flag, ...] = ()


def end_of_run(
    facts: RunFacts,
    state: RunState,
    reason: StopReason,
    error: Mapping[str, str] | None = None,
) -> RunEnd:
    """Compute the result of a run that ended in ``state`` for ``reason``.

    Args:
        facts: what was counted.
        state: how far the run came.
        reason: why the scan ended.
        error: code, cause and remedy of a failure or refusal.
    """
    counts = facts.counts
    outcome = differential(
        counts.cells,
        counts.unidentified,
        ScanContext(
            tiles_attempted=counts.acquired + counts.missing,
            tiles_missing=counts.acquired + counts.missing - counts.analysed,
            tiles_unusable=counts.unusable,
            aborted=state is not RunState.COMPLETE,
        ),
    )
    added = [*facts.notes, *([_lid_flag(facts.lid_openings)] if facts.lid_openings else [])]
    if added:
        flags = [*outcome.flags, *added]
        flags.sort(key=lambda flag: list(FlagLevel).index(flag.level))
        outcome = replace(outcome, flags=tuple(flags))
    document = {
        "run_id": facts.run_id,
        "sample_id": facts.sample_id,
        "operator": facts.operator,
        "state": state.value,
        "reason": reason.value,
        "refusal": dict(error) if error and reason is StopReason.REFUSED else None,
        "error": dict(error) if error and reason is not StopReason.REFUSED else None,
        "tiles": {
            "planned": counts.planned,
            "acquired": counts.acquired,
            "analysed": counts.analysed,
            "missing": counts.missing,
            "unusable": dict(counts.unusable),
            "seen_fraction": counts.analysed / counts.planned if counts.planned else 0.0,
            "area_mm2": facts.area_mm2,
        },
        **outcome.as_dict(),
        "red_cells": counts.red_cells,
        "platelets": counts.platelets,
        "dose": dict(facts.dose),
        "control_lot": facts.control_lot,
        "versions": dict(facts.versions),
        "calibration": [dict(used) for used in facts.calibration],
        "duration_s": facts.duration_s,
    }
    return RunEnd(state, reason, document, error)


def _lid_flag(openings: int) -> Flag:
    return Flag(
        "LID-OPENED",
        FlagLevel.REVIEW,
        f"The lid was opened during the run ({openings} x).",
        "Repeat the sample if the slide may have been touched.",
    )


def interrupted_run(reader: RecordsReader, run_id: int) -> RunEnd:
    """Compute the result of a run whose process ended, from what its journal holds.

    Raises RecordsError; LookupError if there is no such run.
    """
    run = reader.run(run_id)
    if run is None:
        raise LookupError(f"no run {run_id}")
    tiles = list(reader.every_tile(run_id))
    happened = reader.events(run_id)
    facts = RunFacts(
        run_id=run_id,
        sample_id=run.sample_id,
        counts=_journalled(tiles, list(reader.every_cell(run_id)), run.tiles_planned),
        lid_openings=sum(event.kind == "lid_opened" for event in happened),
        area_mm2=None,
        dose={
            "exposures": sum(tile.exposures for tile in tiles),
            "max_field_mj_per_cm2": max((tile.dose_mj_per_cm2 for tile in tiles), default=0.0),
        },
        versions=run.versions,
        duration_s=None,
        control_lot=run.control_lot,
        operator=run.operator,
        calibration=next((e.data["used"] for e in happened if e.kind == "calibration"), ()),
    )
    error = LeukoluxError("RUN-INTERRUPTED").as_dict()
    return end_of_run(facts, RunState.INTERRUPTED, StopReason.INTERRUPTED, error)


def _journalled(tiles: list[TileRecord], cells: list[CellRecord], planned: int) -> Counts:
    analysed = [tile for tile in tiles if tile.state is TileState.ANALYSED]
    return Counts(
        planned=planned,
        acquired=len(analysed),
        missing=len(tiles) - len(analysed),
        analysed=len(analysed),
        unusable=Counter(tile.reason for tile in analysed if tile.reason is not None),
        cells=Counter(cell.kind for cell in cells if cell.identified),
        unidentified=sum(not cell.identified for cell in cells),
        red_cells=sum(tile.red_cells or 0 for tile in analysed),
        platelets=sum(tile.platelets or 0 for tile in analysed),
    )
