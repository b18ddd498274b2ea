"""Settings of scan, analysis, records and screen: defaults, units and ranges."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from hal.config import Section, quantity
from models.providers import WantedProvider


class ScanConfig(Section):
    """Where and how the smear is scanned.  Positions are in the stage frame."""

    left_um: float = quantity(30_000.0, "um", 0, 500_000, "left edge of the scan area")
    top_um: float = quantity(40_000.0, "um", 0, 500_000, "upper edge of the scan area")
    width_um: float = quantity(14_000.0, "um", 100, 100_000, "width of the scan area")
    height_um: float = quantity(8_000.0, "um", 100, 100_000, "height of the scan area")
    overlap_um: float = quantity(24.0, "um", 0, 150, "overlap of tiles; larger than any cell")
    blank_x_um: float = quantity(60_000.0, "um", 0, 500_000, "blank glass for the background")
    blank_y_um: float = quantity(44_000.0, "um", 0, 500_000, "blank glass for the background")
    background_frames: int = quantity(8, "", 1, 32, "frames whose median is the background")
    focus_z_um: float = quantity(5_000.0, "um", 0, 100_000, "where the first focus search starts")
    focus_range_um: float = quantity(30.0, "um", 2, 500, "half range of the first focus search")
    focus_coarse_step_um: float = quantity(2.0, "um", 0.2, 20, "step of the first focus search")
    focus_fine_step_um: float = quantity(0.5, "um", 0.05, 5, "step of the fine focus search")
    focus_offset_um: float = quantity(
        0.9, "um", -5, 5, "from the plane of highest contrast up to the plane of absorption"
    )
    focus_anchors: int = quantity(9, "", 5, 49, "points of the focus map")
    refocus_sharpness_ratio: float = quantity(
        0.75, "", 0.1, 1.0, "refocus when sharpness falls below this share of the recent median"
    )
    settle_xy_ms: float = quantity(160.0, "ms", 0, 2000, "wait after a move of x or y")
    settle_z_ms: float = quantity(20.0, "ms", 0, 2000, "wait after a move of z")
    target_cells: int = quantity(200, "cells", 1, 2000, "classified white cells that end the scan")
    max_tiles: int = quantity(6000, "tiles", 1, 100_000, "longest scan")
    tile_retries: int = quantity(2, "", 0, 10, "further tries of a failed tile")
    missing_tiles_in_row: int = quantity(
        4, "tiles", 0, 100, "tiles in a row that may be missing before the run fails"
    )
    queue_tiles: int = quantity(6, "tiles", 1, 64, "tiles that may wait for analysis")
    max_exposures_per_field: int = quantity(16, "", 8, 200, "dose limit: exposures of one field")
    max_field_mj_per_cm2: float = quantity(15.0, "mJ/cm2", 0.1, 10_000, "dose limit of one field")
    max_sample_j_per_cm2: float = quantity(
        30.0,
        "J/cm2",
        0.001,
        100_000,
        "dose limit of a sample: sum over its fields, in all its runs",
    )


class AnalysisConfig(Section):
    """How tiles become counted cells."""

    workers: int = quantity(1, "threads", 1, 8, "analysis threads")
    provider: WantedProvider = Field(
        "auto", description="what runs the networks; auto takes a GPU where memory is ample"
    )
    min_confidence: float = quantity(
        0.0, "", 0, 1, "below this probability a cell is unidentified; 0 uses the model's own value"
    )
    scout_threshold: float = quantity(
        0.0, "", 0, 1, "score of a candidate; 0 uses the model's own value"
    )
    min_cell_score: float = quantity(
        0.4, "", 0, 1, "scout score that a find needs which looks like a white cell"
    )
    min_doubtful_score: float = quantity(
        0.62,
        "",
        0,
        1,
        "scout score that a find needs which in one respect does not look like a white cell",
    )
    max_fill_fraction: float = quantity(
        0.75, "", 0.1, 1, "tiles covered more than this are too thick to count"
    )
    max_saturated_fraction: float = quantity(
        0.01, "", 0, 1, "tiles with more saturated pixels are refused"
    )
    min_sharpness: float = quantity(
        0.1, "", 0, 100, "tiles less sharp (fine over coarse detail) are out of focus"
    )
    min_usability: float = quantity(
        0.3, "", 0, 1, "tiles the scout finds less readable are out of focus"
    )
    merge_distance_um: float = quantity(
        3.0, "um", 0.5, 10, "views of one cell in two tiles lie no farther apart"
    )


class RecordsConfig(Section):
    """Where results are kept."""

    directory: str = Field("data", description="folder of the database and the pictures")
    min_free_mb: float = quantity(200.0, "MB", 1, 1_000_000, "disk space that a run needs")
    keep_tiles: Literal["all", "with_cells", "none"] = Field(
        "all", description="tiles whose pictures are kept, to be looked at after the run"
    )
    tiles_max_mb: float = quantity(
        2000.0, "MB", 1, 1_000_000, "space of kept pictures; those of the oldest runs go first"
    )


class RecorderConfig(Section):
    """What goes over the wires between program and devices, kept for `leukolux diagnose`."""

    enabled: bool = Field(True, description="record into the folder recorder of the records")
    minutes: float = quantity(10.0, "min", 1.0, 1440.0, "what is kept at least")
    max_mb: float = quantity(64.0, "MB", 1.0, 10_000.0, "space of all its files")


class QualityConfig(Section):
    """Daily check and control slides."""

    daily_check: Literal["off", "warn", "block"] = Field(
        "warn", description="whether a missing or failed daily check is ignored, told, or blocks"
    )
    check_valid_h: float = quantity(24.0, "h", 1, 168, "how long a daily check holds")
    rejected_control: Literal["warn", "block"] = Field(
        "warn", description="whether a rejected control slide is told, or blocks other runs"
    )


class CalibrationConfig(Section):
    """How long calibrations hold, and what a run does without."""

    @model_validator(mode="before")
    @classmethod
    def _with_former_keys(cls, table: Any) -> Any:
        """Take the days of steps as version 0.1.0 wrote them, such as ``flat_field_days = 30``."""
        if not isinstance(table, dict):
            return table
        former = [key for key in table if key.endswith("_days") and key != "valid_days"]
        if not former:
            return table
        days = {key.removesuffix("_days"): table[key] for key in former}
        kept = {key: value for key, value in table.items() if key not in former}
        return {**kept, "valid_days": {**days, **kept.get("valid_days", {})}}

    when_missing: Literal["note", "refuse"] = Field(
        "note",
        description="a run without a valid calibration of a step gets a note, or, unless the step "
        "was skipped, no start",
    )
    max_rotation_deg: float = quantity(
        0.4, "deg", 0.05, 10, "largest angle between camera and stage"
    )
    valid_days: dict[str, Annotated[int, Field(ge=0, le=3650)]] = Field(
        {},
        description="days that the results of a step hold, such as { flat_field = 14 }; 0 = for "
        "ever; `leukolux calibrate --list` shows every step with its days",
    )


class WebConfig(Section):
    """Touchscreen pages and results API."""

    host: str = Field("127.0.0.1", description="address of the built-in screen's listener")
    port: int = quantity(8260, "", 0, 65535, "port of the built-in screen's listener; 0 picks one")
    lan: bool = Field(False, description="open the results read-only to the local network")
    lan_host: str = Field("0.0.0.0", description="address of the local network's listener")  # noqa: S104
    lan_port: int = quantity(8261, "", 0, 65535, "port of the local network's listener")
    lan_token: str = Field("", description="token clients must send; required when lan is true")
