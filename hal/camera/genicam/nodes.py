"""The camera's features by name: what is missing, out of range or refused is a clear error."""

from __future__ import annotations

from typing import Any

from hal.camera.genicam.binding import Binding
from hal.errors import CameraError
from hal.recorder.recorder import UNRECORDED, Recorder

WIRE = "camera"
_SAME = 1e-6
"""Relative difference below which a value counts as the one that is set."""


class Nodes:
    """Features of one open camera; used by one thread.

    Every method raises CameraError: with the code ``CAMERA-FEATURE`` for what this camera does
    not have or does not allow, ``CAMERA-UNPLUGGED`` when it is gone.

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
        """Raise CameraError when the camera does not have the feature."""
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
                raise self._not_allowed(
                    name,
                    {"low": low, "high": high},
                    f"{name} = {value:g} is outside {low:g} to {high:g}",
                )
            if isinstance(node, self._binding.genapi.IInteger):
                if (value - low) % node.inc:
                    raise self._not_allowed(
                        name,
                        {"step": node.inc},
                        f"{name} = {value:g} is not in the steps of {node.inc} from {low:g}",
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
                raise self._not_allowed(
                    name,
                    {"entries": entries},
                    f"{name} has no {entry}, but only {', '.join(entries)}",
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
            raise CameraError(
                f"This camera has no feature {name}.",
                remedy="Change the setting that needs it, or use a camera that has it; `leukolux "
                "camera features` shows what this one has.",
                code="CAMERA-FEATURE",
            )
        return node

    def _require_writable(self, name: str, node: Any) -> None:
        if node.get_access_mode() not in self._writable:
            raise self._not_allowed(name, {"writable": False}, f"{name} cannot be changed")

    def _not_allowed(self, name: str, allowed: dict[str, object], cause: str) -> CameraError:
        self._recorder.note(WIRE, "allowed", {name: allowed})
        return CameraError(
            f"{cause} on this camera.",
            remedy="Choose a value that `leukolux camera features` allows.",
            code="CAMERA-FEATURE",
        )
