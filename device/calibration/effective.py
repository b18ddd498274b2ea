"""The settings a run works with: valid calibrations in place of the settings' own values."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from device.acquisition.plan import make_plan
from device.calibration.steps.catalogue import STEP_IDS, STEPS, step_of
from device.records.calibrations import CalibrationRecord, CalibrationStore
from device.results.differential import Flag, FlagLevel
from device.settings.file import Settings, changed_settings
from device.settings.sections import CalibrationConfig
from device.status import StartCondition
from hal.errors import SettingsError
from hal.factory import Hardware

SOON = timedelta(days=7)
"""How long before a calibration expires the start page says so."""

_DO_THEM = "Do these steps on the page Calibrate."


def made_for(step: str, settings: Settings) -> dict[str, Any]:
    """Return the settings, as they were read, that a result of ``step`` belongs to."""
    document = settings.model_dump(mode="json")
    names = (name.split(".") for name in step_of(step).made_for)
    return {f"{section}.{name}": document[section][name] for section, name in names}


@dataclass(frozen=True)
class Effective:
    """What a run uses.

    Attributes:
        settings: with the calibrated values in place.
        used: the valid result of each step that has one.
        expired: steps whose result is too old.
        missing: steps that were never accepted, or not for these settings.
        problem: why no run can use this calibration, or an empty text.
    """

    settings: Settings
    used: Mapping[str, CalibrationRecord]
    expired: tuple[str, ...]
    missing: tuple[str, ...]
    problem: str = ""

    def value(self, step: str, name: str) -> float | None:
        """Return a calibrated value that is valid now, or None."""
        record = self.used.get(step)
        return record.value(name) if record is not None else None

    def validity(self, step: str) -> str:
        """Return whether a step is ``valid``, ``expired`` or ``missing``."""
        return "valid" if step in self.used else "expired" if step in self.expired else "missing"

    def document(self) -> list[dict[str, Any]]:
        """Return what a result says about the calibrations it used."""
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
                flags.append(
                    Flag(
                        code,
                        FlagLevel.NOTE,
                        f"{what}: {_words(steps)}; the settings' values were used.",
                        "Calibrate these steps.",
                    )
                )
        return tuple(flags)


def uncalibrated(settings: Settings) -> Effective:
    """Return what is used if nothing was ever calibrated."""
    return Effective(settings, {}, (), STEP_IDS)


def calibrated_device(hardware: Hardware) -> str:
    """Return to which instrument the calibrations belong: the simulated one or the real one."""
    return "instrument" if hardware.simulation is None else "simulated"


def effective_now(settings: Settings, store: CalibrationStore, hardware: Hardware) -> Effective:
    """Return what is used now, with the accepted results in ``store``.  Raises RecordsError."""
    device = calibrated_device(hardware)
    return effective(settings, store.newest_accepted(device), store.now(), store.left_out(device))


def valid_days(step: str, config: CalibrationConfig) -> int:
    """Return how many days a result of ``step`` is valid, 0 for ever."""
    return config.valid_days.get(step, step_of(step).days)


def expires(record: CalibrationRecord, config: CalibrationConfig) -> datetime | None:
    """Return when a result is too old to be used, None for never."""
    days = valid_days(record.step, config)
    return datetime.fromisoformat(record.utc) + timedelta(days=days) if days else None


def effective(
    settings: Settings,
    accepted: Mapping[str, CalibrationRecord],
    now: datetime,
    left_out: Collection[str] = (),
) -> Effective:
    """Return what a run that starts ``now`` uses.

    Args:
        settings: as they were read.
        accepted: the newest accepted result of each step.
        now: wall-clock time.
        left_out: steps that no run waits for.
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
        elif record.details.get("made_for") != made_for(step, settings):
            missing.append(step)
        else:
            used[step] = record
    changes = {
        setting: value
        for step, record in used.items()
        for setting, value in step_of(step).replaces(_values(record)).items()
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
    unusable = [step for step in expired + missing if step not in left_out]
    return Effective(
        changed, used, tuple(expired), tuple(missing), _problem(config, used, unusable)
    )


def _values(record: CalibrationRecord) -> dict[str, float]:
    return {quantity["name"]: quantity["value"] for quantity in record.quantities}


def _problem(
    config: CalibrationConfig, used: Mapping[str, CalibrationRecord], unusable: Sequence[str]
) -> str:
    pixel = used.get("pixel_size")
    turned_deg = pixel.value("rotation_deg") if pixel is not None else None
    if turned_deg is not None and abs(turned_deg) > config.max_rotation_deg:
        return (
            f"The camera is turned by {turned_deg:.2f} deg against the stage, "
            f"{config.max_rotation_deg:g} deg are allowed: turn it back and calibrate."
        )
    unknown = sorted(config.valid_days.keys() - set(STEP_IDS))
    if unknown:
        return (
            f"calibration.valid_days names {', '.join(unknown)}, which is no calibration step; "
            f"use {', '.join(STEP_IDS)}."
        )
    if config.when_missing == "refuse" and unusable:
        return f"No valid calibration of: {_words(unusable)}. {_DO_THEM}"
    return ""


def due(
    found: Effective, config: CalibrationConfig, now: datetime
) -> tuple[tuple[StartCondition, tuple[str, ...]], ...]:
    """Return what a person should know of the calibrations before a run, each with its steps.

    A step that may be left out is named if its result expires, not if it has no result.
    """
    needed = tuple(step.id for step in STEPS if step.id in found.missing and not step.may_skip)
    ending = tuple(
        step
        for step, record in found.used.items()
        if (end := expires(record, config)) is not None and end - now <= SOON
    )
    remarks = (
        ("calibration_missing", needed, "Not calibrated"),
        ("calibration_expired", found.expired, "The calibration has expired"),
        ("calibration_ends", ending, f"The calibration expires within {SOON.days} days"),
    )
    return tuple(
        (StartCondition(name, False, f"{what}: {_words(steps)}. {_DO_THEM}"), steps)
        for name, steps, what in remarks
        if steps
    )


def _words(steps: Sequence[str]) -> str:
    return ", ".join(step.replace("_", " ") for step in steps)
