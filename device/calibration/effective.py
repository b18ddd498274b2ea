"""The settings a run works with: valid calibrations in place of the settings' own values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from device.acquisition.plan import make_plan
from device.calibration.steps import STEP_IDS
from device.config import CalibrationConfig
from device.differential import Flag, FlagLevel
from device.records.calibrations import CalibrationRecord
from device.settings import Settings, changed_settings
from hal.errors import SettingsError

APPROACH_FACTOR = 2.0
APPROACH_SPARE_UM = 2.0
"""The last stretch takes up twice the play, and a little more."""

_PLAIN = {
    "pixel_size": {"pixel_um": "camera__pixel_um"},
    "settle_time": {"settle_xy_ms": "scan__settle_xy_ms", "settle_z_ms": "scan__settle_z_ms"},
    "flat_field": {"exposure_ms": "camera__exposure_ms"},
    "focus_reference": {"focus_z_um": "scan__focus_z_um", "offset_um": "scan__focus_offset_um"},
    "led_power": {"irradiance_mw_per_cm2": "light__irradiance_mw_per_cm2"},
    "slide_corners": {
        "left_um": "scan__left_um",
        "top_um": "scan__top_um",
        "width_um": "scan__width_um",
        "height_um": "scan__height_um",
    },
}
"""Which value replaces which setting."""


@dataclass(frozen=True)
class Effective:
    """What a run uses.

    Attributes:
        settings: with the calibrated values in place.
        used: the valid result of each step that has one.
        expired: steps whose result is too old.
        missing: steps that were never accepted.
        problem: why no run can use this calibration, or an empty text.
    """

    settings: Settings
    used: Mapping[str, CalibrationRecord]
    expired: tuple[str, ...]
    missing: tuple[str, ...]
    problem: str = ""

    def document(self) -> list[dict[str, Any]]:
        """Return what a result tells of the calibrations it used."""
        return [
            {
                "id": record.id,
                "step": step,
                "utc": record.utc,
                "operator": record.operator,
                "software": record.software,
                "quantities": [dict(quantity) for quantity in record.quantities],
            }
            for step, record in self.used.items()
        ]

    def flags(self) -> tuple[Flag, ...]:
        """Return the notes a result carries."""
        flags = []
        for code, steps, what in (
            ("CALIBRATION-EXPIRED", self.expired, "Calibration expired"),
            ("CALIBRATION-MISSING", self.missing, "Not calibrated"),
        ):
            if steps:
                names = ", ".join(step.replace("_", " ") for step in steps)
                flags.append(
                    Flag(
                        code,
                        FlagLevel.NOTE,
                        f"{what}: {names}; the settings' values were used.",
                        "Calibrate these steps.",
                    )
                )
        return tuple(flags)


def expires(record: CalibrationRecord, config: CalibrationConfig) -> datetime | None:
    """Return when a result is too old to be used, None for never."""
    days = int(getattr(config, f"{record.step}_days"))
    return datetime.fromisoformat(record.utc) + timedelta(days=days) if days else None


def effective(
    settings: Settings, accepted: Mapping[str, CalibrationRecord], now: datetime
) -> Effective:
    """Return what a run that starts ``now`` uses.

    Args:
        settings: as they were read.
        accepted: the newest accepted result of each step.
        now: wall-clock time.
    """
    config = settings.calibration
    used: dict[str, CalibrationRecord] = {}
    expired, missing = [], []
    for step in STEP_IDS:
        record = accepted.get(step)
        if record is None:
            missing.append(step)
            continue
        end = expires(record, config)
        if end is not None and now >= end:
            expired.append(step)
        elif step == "led_power" and record.details.get("led") != settings.light.led:
            # Another LED has another power.
            missing.append(step)
        else:
            used[step] = record
    changes = {
        name: value for step, record in used.items() for name, value in _changes(step, record)
    }
    try:
        changed = changed_settings(settings, **changes) if changes else settings
        make_plan(changed.scan, changed.camera)
    except SettingsError as error:
        return Effective(
            settings,
            {},
            tuple(expired),
            tuple(missing),
            f"The calibration does not fit the settings: {error.cause}",
        )
    return Effective(
        changed, used, tuple(expired), tuple(missing), _problem(config, used, expired + missing)
    )


def _changes(step: str, record: CalibrationRecord) -> list[tuple[str, float]]:
    changes = [
        (setting, value)
        for name, setting in _PLAIN.get(step, {}).items()
        if (value := record.value(name)) is not None
    ]
    if step == "backlash":
        across = [record.value(f"backlash_{axis}_um") or 0.0 for axis in "xy"]
        changes += [
            ("stage__approach_xy_um", _approach_um(max(across))),
            ("stage__approach_z_um", _approach_um(record.value("backlash_z_um") or 0.0)),
        ]
    return changes


def _approach_um(backlash_um: float) -> float:
    return float(math.ceil(APPROACH_FACTOR * max(backlash_um, 0.0) + APPROACH_SPARE_UM))


def _problem(
    config: CalibrationConfig, used: Mapping[str, CalibrationRecord], unusable: list[str]
) -> str:
    pixel = used.get("pixel_size")
    turned_deg = pixel.value("rotation_deg") if pixel is not None else None
    if turned_deg is not None and abs(turned_deg) > config.max_rotation_deg:
        return (
            f"The camera is turned by {turned_deg:.2f} deg against the stage, "
            f"{config.max_rotation_deg:g} deg are allowed: turn it back and calibrate."
        )
    if config.when_missing == "refuse" and unusable:
        names = ", ".join(step.replace("_", " ") for step in unusable)
        return f"No valid calibration of: {names}. Calibrate these steps."
    return ""
