"""Rows of the records as the rest of the program sees them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from device.results.cell import CellKind
from device.status import StopReason


class RunState(StrEnum):
    """How far a run came."""

    RUNNING = "running"
    COMPLETE = "complete"
    ABORTED = "aborted"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    """The process ended during the run; found at the next start."""


class TileState(StrEnum):
    """What became of a place of the plan."""

    ANALYSED = "analysed"
    MISSING = "missing"
    """No frame could be taken there in spite of all retries."""


class _Row:
    def as_dict(self) -> dict[str, Any]:
        """Return the row as JSON-compatible values."""
        return asdict(self)  # type: ignore[call-overload,no-any-return]  # every row is a dataclass


@dataclass(frozen=True)
class RunRecord(_Row):
    """One sample from start to result.

    Attributes:
        started_utc: ISO 8601 wall-clock time; durations use the monotonic columns.
        duration_s: seconds of the instrument's clock from start to end, None while running.
        settings: the effective settings.
        versions: software and model versions.
        error: code, cause and remedy if the run failed or was refused.
        control_lot: lot of the control slide, None for a sample of a person.
        operator: who started the run, or empty.
    """

    id: int
    sample_id: str
    state: RunState
    reason: StopReason | None
    started_utc: str
    ended_utc: str | None
    duration_s: float | None
    tiles_planned: int
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    error: Mapping[str, str] | None
    control_lot: int | None = None
    operator: str = ""


@dataclass(frozen=True)
class TileRecord(_Row):
    """One place of the plan: analysed, or missing with its error.

    Attributes:
        sequence: order of acquisition, None if missing.
        usable: whether its cells count.
        reason: why it is not usable.
        exposures: exposures this field received, focus search included.
        dose_mj_per_cm2: dose this field received.
        cell_od: median optical density of what the cells cover.
        links: measured steps from earlier tiles: ``tile``, its sequence number; ``x_um`` and
            ``y_um``, between the centres; ``sigma_um``, the standard error; ``correlation``.
        mosaic_x_um: centre in the mosaic, preliminary until the run has ended; None if
            missing, and in runs of former versions.
        mosaic_y_um: the same along y.
    """

    id: int
    run_id: int
    sequence: int | None
    row: int
    column: int
    x_um: float
    y_um: float
    z_um: float | None
    state: TileState
    usable: bool
    reason: str | None
    sharpness: float | None
    fill_fraction: float | None
    saturated_fraction: float | None
    cells: int | None
    red_cells: int | None
    platelets: int | None
    analysis_ms: float | None
    exposure_ms: float | None
    exposures: int
    dose_mj_per_cm2: float
    error: Mapping[str, str] | None
    cell_od: float | None = None
    links: tuple[Mapping[str, float], ...] = ()
    mosaic_x_um: float | None = None
    mosaic_y_um: float | None = None

    @property
    def centre_um(self) -> tuple[float, float]:
        """Where the tile lies among the cells of its run."""
        if self.mosaic_x_um is None or self.mosaic_y_um is None:
            return self.x_um, self.y_um
        return self.mosaic_x_um, self.mosaic_y_um


@dataclass(frozen=True)
class CellRecord(_Row):
    """One counted cell without its pictures; fields as :class:`device.results.cell.Cell`."""

    id: int
    run_id: int
    tile_sequence: int
    x_um: float
    y_um: float
    x_px: float
    y_px: float
    bbox_px: tuple[int, int, int, int]
    kind: CellKind
    identified: bool
    probabilities: Mapping[CellKind, float]
    area_um2: float
    nucleus_area_um2: float


@dataclass(frozen=True)
class LedRecord(_Row):
    """The life of one LED.

    Attributes:
        name: as in the settings.
        exposures: given with it.
        light_s: seconds it was on.
        first_brightness_per_s: on blank glass when it was new, full scales per second; None
            until a background was taken with it.
        last_brightness_per_s: on blank glass in the last run, full scales per second.
    """

    name: str
    exposures: int
    light_s: float
    first_brightness_per_s: float | None
    last_brightness_per_s: float


@dataclass(frozen=True)
class EventRecord(_Row):
    """Something that happened, in a run or outside one (``run_id`` None)."""

    id: int
    run_id: int | None
    utc: str
    monotonic_s: float
    kind: str
    data: Mapping[str, Any]


@dataclass(frozen=True)
class CheckRecord(_Row):
    """One check of the instrument.

    Attributes:
        level: value of :class:`device.checks.report.Level`.
        operator: who asked for it, empty at start-up.
        verdict: value of :class:`device.checks.report.Verdict`.
        versions: of software and networks.
        report: as :meth:`device.checks.report.CheckReport.as_dict`.
    """

    id: int
    utc: str
    level: str
    operator: str
    verdict: str
    versions: Mapping[str, str]
    report: Mapping[str, Any]


@dataclass(frozen=True)
class LotRecord(_Row):
    """One lot of control slides.

    Attributes:
        level: normal, low, ... as on the label.
        closed_utc: when it was used up, None while it is in use.
        source: of the targets: entered or established.
        targets: mean and sd per analyte, None while they are being established.
    """

    id: int
    name: str
    level: str
    created_utc: str
    closed_utc: str | None
    source: str
    targets: Mapping[str, Mapping[str, float]] | None


@dataclass(frozen=True)
class PointRecord(_Row):
    """The values of one control run.

    Attributes:
        values: per analyte, empty if the slide gave no numbers.
        verdict: value of :class:`device.quality.control.ControlVerdict`.
        rules: violated rules per analyte.
        comments: what people said: utc, operator, text.
    """

    id: int
    lot_id: int
    run_id: int
    utc: str
    values: Mapping[str, float]
    verdict: str
    rules: Mapping[str, tuple[str, ...]]
    comments: tuple[Mapping[str, str], ...]
