"""The camera's features by name: what is missing, out of range or refused is a clear error."""

from __future__ import annotations

from typing import Any

from hal.camera.genicam.binding import Binding
from hal.errors import CameraError
from hal.interfaces.failures import camera_out_of_range
from hal.recorder.recorder import UNRECORDED, Recorder

WIRE = "camera"
_SAME = 1e-6
"""Relative difference below which a value counts as the one that is set."""


class Nodes:
    """Features of one open camera; used by one thread.

    Every method raises CameraError: with the code ``CAMERA-FEATURE`` for what this camera does
    not have, ``CAMERA-RANGE``, ``-STEP``, ``-CHOICE`` or ``-READ-ONLY`` for what it does not allow,
    ``CAMERA-UNPLUGGED`` if it is gone.

    Args:
        binding: the loaded libraries.
        node_map: of the camera.
        recorder: notes what is really read from the camera, and what is set.
    """

    def __init__(self, binding: Binding, node_map: Any, recorder: Recorder = UNRECORDED) -> None:
        self._binding = binding
        self._recorder = recorder
        self._node_map = node_map
        modes = binding.genapi.EAccessMode
        self._readable = (modes.RO, modes.RW)
        self._writable = (modes.WO, modes.RW)

    def has(self, name: str) -> bool:
        """Return whether the camera has the feature and it can be used now."""
        with self._binding.translated(name):
            node = getattr(self._node_map, name, None)
            return node is not None and (
                node.get_access_mode() in self._readable or node.get_access_mode() in self._writable
            )

    def require(self, name: str) -> None:
        """Raise CameraError if the camera does not have the feature."""
        self._node(name)

    def number(self, name: str) -> float:
        """Return a numeric feature."""
        node = self._node(name)
        with self._binding.translated(f"Reading {name}"):
            return self._got(name, float(node.value))

    def fresh_number(self, name: str) -> float:
        """Return a numeric feature as the camera answers it now, whatever was kept of it."""
        node = self._node(name)
        with self._binding.translated(f"Reading {name}"):
            node.node.invalidate_node()
            return self._got(name, float(node.value))

    def unit(self, name: str) -> str:
        """Return the unit of a number with a point, as the camera calls it."""
        node = self._node(name)
        with self._binding.translated(f"Reading the unit of {name}"):
            return str(getattr(node, "unit", ""))

    def put(self, name: str, value: float) -> None:
        """Set a numeric feature; it must be in the camera's range, whole numbers in its steps."""
        node = self._node(name)
        with self._binding.translated(f"Setting {name} to {value:g}"):
            low, high = node.min, node.max
            if not low <= value <= high:
                self._note_allowed(name, {"low": low, "high": high})
                raise camera_out_of_range(name, value, low, high)
            if isinstance(node, self._binding.genapi.IInteger):
                if (value - low) % node.inc:
                    self._note_allowed(name, {"step": node.inc})
                    raise CameraError(
                        "CAMERA-STEP", feature=name, value=value, step=node.inc, low=low
                    )
                value = int(value)
            if abs(node.value - value) > _SAME * abs(value):
                self._require_writable(name, node)
                self._recorder.note(WIRE, "set", {name: value})
                node.value = value

    def choose(self, name: str, entry: str) -> None:
        """Set an enumeration."""
        node = self._node(name)
        with self._binding.translated(f"Setting {name} to {entry}"):
            if entry not in node.symbolics:
                entries = [str(known) for known in node.symbolics]
                self._note_allowed(name, {"entries": entries})
                raise CameraError(
                    "CAMERA-CHOICE", feature=name, entry=entry, entries=", ".join(entries)
                )
            if node.value != entry:
                self._require_writable(name, node)
                self._recorder.note(WIRE, "set", {name: entry})
                node.value = entry

    def switch(self, name: str, on: bool) -> None:
        """Set a feature that is true or false."""
        node = self._node(name)
        with self._binding.translated(f"Setting {name}"):
            if bool(node.value) != on:
                self._require_writable(name, node)
                self._recorder.note(WIRE, "set", {name: on})
                node.value = on

    def execute(self, name: str) -> None:
        """Give a command."""
        node = self._node(name)
        self._recorder.note(WIRE, "command", name)
        with self._binding.translated(name):
            node.execute()

    def _got(self, name: str, value: float) -> float:
        self._recorder.note(WIRE, "get", {name: value})
        return value

    def _node(self, name: str) -> Any:
        with self._binding.translated(name):
            node = getattr(self._node_map, name, None)
        if node is None:
            self._recorder.note(WIRE, "missing", name)
            raise CameraError("CAMERA-FEATURE", feature=name)
        return node

    def _require_writable(self, name: str, node: Any) -> None:
        if node.get_access_mode() not in self._writable:
            self._note_allowed(name, {"writable": False})
            raise CameraError("CAMERA-READ-ONLY", feature=name)

    def _note_allowed(self, name: str, allowed: dict[str, object]) -> None:
        self._recorder.note(WIRE, "allowed", {name: allowed})
