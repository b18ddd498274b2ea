"""Putting the instrument together from its settings, and taking it apart safely."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import cv2

from device.instrument import Instrument
from device.records.folder.owner import owned
from device.records.folder.traces import RECORDER_FOLDER
from device.records.records import Records
from device.settings.file import Settings, changed_settings
from device.system.service_manager import Watchdog
from hal.factory import Hardware, build_clock, build_hardware
from hal.recorder.recorder import UNRECORDED, FileRecorder, Recorder

DATABASE_NAME = "leukolux.db"
RENDER_TIMEOUT_MS = 15_000.0


@dataclass(frozen=True)
class Assembly:
    """The open instrument with what it is made of."""

    instrument: Instrument
    records: Records
    hardware: Hardware


@contextmanager
def assembled(settings: Settings, watchdog: Watchdog | None = None) -> Iterator[Assembly]:
    """Own the records' folder, open records, hardware and instrument; close all in reverse order.

    Args:
        settings: effective settings.
        watchdog: is fed by the owner of the hardware; None if nobody watches.

    Raises:
        RecordsInUseError: another program runs an instrument with these records.
        RecordsError: the database cannot be used.
        DeviceError: a device cannot be built.
    """
    # One thread per analysis worker is faster than OpenCV's own pool on two cores.
    cv2.setNumThreads(1)
    clock = build_clock(settings)
    with (
        owned(records_folder(settings)),
        closing(Records(records_folder(settings) / DATABASE_NAME)) as records,
        _recorder(settings, clock.speed) as recorder,
        closing(build_hardware(settings, clock, recorder=recorder)) as hardware,
        Instrument(settings, hardware, records, clock, watchdog=watchdog) as instrument,
    ):
        yield Assembly(instrument, records, hardware)


def records_folder(settings: Settings) -> Path:
    """Return where an instrument with ``settings`` keeps its records."""
    return Path(settings.records.directory).expanduser()


def recorder_folder(settings: Settings) -> Path:
    """Return where the recorder of an instrument with ``settings`` writes."""
    return records_folder(settings) / RECORDER_FOLDER


def _recorder(settings: Settings, speed: float) -> AbstractContextManager[Recorder]:
    wanted = settings.recorder
    if not wanted.enabled:
        return nullcontext(UNRECORDED)
    return FileRecorder(
        recorder_folder(settings), minutes=wanted.minutes, max_mb=wanted.max_mb, speed=speed
    )


def simulated_settings(
    settings: Settings,
    *,
    smear: str | None = None,
    speed: float | None = None,
    wire: bool = False,
) -> Settings:
    """Return ``settings`` with every driver replaced by its simulation.

    Args:
        settings: where everything else comes from.
        smear: donor on the slide, NAME:SEED; None keeps the one of the settings.
        speed: simulated seconds per real second; None keeps the one of the settings.
        wire: put the camera behind a GenTL producer; false keeps what the settings say.

    Raises:
        SettingsError: ``speed`` is out of range.
    """
    changes: dict[str, object] = {
        "camera__driver": "sim",
        "stage__port": "sim",
        "apt__port_z": "sim",
        "light__gpio": "sim",
    }
    if smear is not None:
        changes["simulation__smear"] = smear
    if speed is not None:
        changes["simulation__speed"] = speed
    if wire or settings.simulation.wire:
        changes["simulation__wire"] = True
        # The picture is computed in real time by another process, which may have to wait its turn.
        changes["camera__frame_timeout_ms"] = max(
            settings.camera.frame_timeout_ms, RENDER_TIMEOUT_MS
        )
    return changed_settings(settings, **changes)
