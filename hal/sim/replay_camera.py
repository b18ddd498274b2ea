"""What went wrong with a recorded camera, so that a simulated one can do the same.

Pictures are never recorded, so the camera cannot be replayed as such.  Its control can: at the
same exposure a frame is lost, comes with parts missing or in a wrong size, and the cable is pulled
for as long; at the same opening a value is refused; a feature is missing, or allows as little.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hal.errors import CameraError, FrameError, InputError
from hal.recording import Entry, read_recording
from hal.sim.gentl.features import Chip, features_of
from hal.sim.gentl.script import CameraScript

WIRE = "camera"
FOR_EVER_S = -1.0
_KNOWN = frozenset(feature.name for feature in features_of(Chip("", 64, 64)))
"""Features of the simulated camera; of others nothing can be replayed."""

_ALLOWED_KEYS = ({"low", "high"}, {"step"}, {"entries"}, {"writable"})
_GONE = frozenset({"CAMERA-UNPLUGGED", "CAMERA-NOT-FOUND"})


def read_script(path: Path) -> CameraScript:
    """Return what went wrong with the camera of a recording, and when.

    Raises:
        InputError: the recording cannot be read, or is of no GenICam camera.
    """
    entries = read_recording(path).of(WIRE)
    if not entries:
        raise InputError(
            f"The recording {path} has no GenICam camera in it.",
            remedy="Use a recording of an instrument with such a camera.",
            code="INPUT-RECORDING",
        )
    reader = _Reader(entries[0].t_s)
    for entry in entries:
        reader.take(entry)
    return reader.script()


class _Reader:
    """Follows a recording, one entry after the other."""

    def __init__(self, began_s: float) -> None:
        self._began_s = began_s
        self._opened = False
        self._exposures = 0
        self._came: list[Mapping[str, Any] | None] | None = None
        """Frames since the last trigger, None for an incomplete one; None before a trigger."""
        self._before: Mapping[str, Any] = {}
        self._gone: tuple[int | None, float] | None = None
        self._faults: dict[int, str] = {}
        self._away_s: dict[int, float] = {}
        self._absent_s = 0.0
        self._without: set[str] = set()
        self._allowed: dict[str, Mapping[str, Any]] = {}
        self._refused: list[tuple[str, float | str] | None] = []
        self._setting: tuple[str, float | str] | None = None
        """What was being set when the last entry but a closing was made."""

    def take(self, entry: Entry) -> None:
        """Take the next entry."""
        setting, self._setting = self._setting, None
        if entry.kind == "close":
            # Closed because of an error, which is noted after that.
            self._setting = setting
        match entry.kind, entry.what:
            case "open", _:
                self._back_after(entry.t_s)
                self._opened, self._came = True, None
                self._refused.append(None)
            case "set", dict(values):
                self._setting = _setting(values)
            case "allowed", dict(features):
                self._allowed |= _allowed(features)
            case "error", {"code": CameraError.code} if setting is not None and self._refused:
                self._refused[-1] = setting
            case "missing", str(name):
                self._without.add(name)
            case "command", "TriggerSoftware":
                if self._came and self._came[-1] is not None:
                    self._before = self._came[-1]
                self._exposures += 1
                self._came = []
            case "incomplete", _:
                self._came = [*(self._came or []), None]
            case "frame", {"timestamp_ns": _, "height_px": _} as frame:
                self._came = [*(self._came or []), frame]
            case "error", {"code": str(code)}:
                self._failed(code, entry.t_s)

    def script(self) -> CameraScript:
        """Return what was found; who was gone at the end stays so."""
        self._back_after(None)
        return CameraScript(
            self._faults,
            self._away_s,
            self._absent_s,
            frozenset(self._without & _KNOWN),
            self._allowed,
            tuple(self._refused) if any(self._refused) else (),
        )

    def _failed(self, code: str, t_s: float) -> None:
        if code in _GONE:
            self._gone = self._gone or self._pulled(t_s)
        elif self._came is not None and code == FrameError.code:
            self._faults[self._exposures - 1] = self._fault(self._came)
        elif self._came is not None and code == CameraError.code:
            self._faults[self._exposures - 1] = "access_errors"

    def _pulled(self, t_s: float) -> tuple[int | None, float]:
        """Return at which exposure the cable is to be pulled, None for before all, and when."""
        if not self._opened:
            return None, self._began_s
        if self._came is None or self._came:
            # Noticed between two exposures: the replay notices it at the next, one more.
            self._exposures += 1
        return self._exposures - 1, t_s

    def _back_after(self, t_s: float | None) -> None:
        if self._gone is None:
            return
        (at, gone_s), self._gone = self._gone, None
        away_s = FOR_EVER_S if t_s is None else t_s - gone_s
        if at is None:
            self._absent_s = away_s
        else:
            self._away_s[at] = away_s

    def _fault(self, came: Sequence[Mapping[str, Any] | None]) -> str:
        if not came:
            return "drop"
        last = came[-1]
        if last is None:
            return "incomplete"
        if last["timestamp_ns"] <= self._before.get("timestamp_ns", -1):
            return "stale"
        if last["height_px"] != self._before.get("height_px", last["height_px"]):
            return "wrong_size"
        return "drop"


def _setting(values: Mapping[str, Any]) -> tuple[str, float | str] | None:
    """Return the one feature that is set and its value."""
    pairs = [
        (name, value) for name, value in values.items() if isinstance(value, int | float | str)
    ]
    return pairs[0] if len(pairs) == 1 else None


def _allowed(features: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return what is allowed of features, as far as the simulated camera can be told."""
    return {
        name: allowed
        for name, allowed in features.items()
        if name in _KNOWN and isinstance(allowed, dict) and allowed.keys() in _ALLOWED_KEYS
    }
