"""The registers of the simulated camera: what is written is checked as a camera checks it."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from threading import RLock

from hal.sim.gentl.description import REGISTER_BYTES, describe
from hal.sim.gentl.features import LINES, Chip, Feature, Kind, features_of
from hal.sim.gentl.packing import line_bytes
from hal.sim.gentl.protocol import Status

REGISTERS_ADDRESS = 0x1000
DESCRIPTION_ADDRESS = 0x100000
_INTEGER = struct.Struct("<q")
_FLOAT = struct.Struct("<d")
_PER_LINE = ("LineMode", "LineSource")

Value = int | float | str


@dataclass(frozen=True)
class Exposing:
    """What a frame is taken with."""

    width_px: int
    height_px: int
    x_offset_px: int
    y_offset_px: int
    pixel_format: str
    exposure_us: float
    gain_db: float


class Registers:
    """All registers; safe from any thread.

    Args:
        chip: which camera.
        on_command: called with the name of a command that was executed.
        temperature_c: of the sensor.
    """

    def __init__(
        self, chip: Chip, on_command: Callable[[str], None], temperature_c: Callable[[], float]
    ) -> None:
        self._chip = chip
        self._on_command = on_command
        self._temperature_c = temperature_c
        self._features = {feature.name: feature for feature in features_of(chip)}
        self._lock = RLock()
        limits = {
            limit
            for feature in self._features.values()
            for limit in (feature.low, feature.high)
            if isinstance(limit, str)
        }
        names = [*self._features, *sorted(limits)]
        self._addresses = {
            name: REGISTERS_ADDRESS + number * REGISTER_BYTES for number, name in enumerate(names)
        }
        self._names = {address: name for name, address in self._addresses.items()}
        self.description = describe(list(self._features.values()), self._addresses)
        self._values: dict[str, Value] = {}
        self._lines: dict[tuple[str, str], int] = {}
        self.reset()

    def reset(self) -> None:
        """Take the values of power-up."""
        with self._lock:
            self._values = {feature.name: feature.value for feature in self._features.values()}
            self._lines = {(line, name): 0 for line in LINES for name in _PER_LINE}

    def read(self, address: int, length: int) -> tuple[Status, bytes]:
        """Return ``length`` bytes at ``address``."""
        if address >= DESCRIPTION_ADDRESS:
            start = address - DESCRIPTION_ADDRESS
            data = self.description[start : start + length]
            whole = length > 0 and len(data) == length
            return (Status.OK, data) if whole else (Status.INVALID_ADDRESS, b"")
        name = self._names.get(address)
        if name is None:
            return Status.INVALID_ADDRESS, b""
        with self._lock:
            data = _encoded(self.value(name))
        return (Status.OK, data) if len(data) == length else (Status.INVALID_ADDRESS, b"")

    def write(self, address: int, data: bytes) -> Status:
        """Write a register, or say why not."""
        feature = self._features.get(self._names.get(address, ""))
        if feature is None or len(data) != _INTEGER.size:
            return Status.INVALID_ADDRESS
        with self._lock:
            if not feature.writable or (feature.locked and self._values.get("TLParamsLocked")):
                return Status.ACCESS_DENIED
            value = (_FLOAT if feature.kind is Kind.FLOAT else _INTEGER).unpack(data)[0]
            if not self._allows(feature, value):
                return Status.INVALID_VALUE
            if feature.kind is not Kind.COMMAND:
                self._store(feature.name, value)
        if feature.name == "UserSetLoad":
            self.reset()
        elif feature.kind is Kind.COMMAND:
            self._on_command(feature.name)
        return Status.OK

    def value(self, name: str) -> Value:
        """Return the value of a feature or of a limit."""
        with self._lock:
            if name in _PER_LINE:
                return self._lines[self._line(), name]
            calculated = self._calculated(name)
            return self._values[name] if calculated is None else calculated

    def number(self, name: str, default: float = 0) -> float:
        """Return a numeric feature, or ``default`` if this camera does not have it."""
        if name not in self._features:
            return default
        value = self.value(name)
        if isinstance(value, str):
            raise TypeError(f"{name} is a text")
        return value

    def entry(self, name: str) -> str:
        """Return the name of an enumeration's present entry, or "" without the feature."""
        feature = self._features.get(name)
        if feature is None:
            return ""
        value = self.value(name)
        return next(entry for entry, number in feature.entries.items() if number == value)

    def exposing(self) -> Exposing:
        """Return what a frame triggered now is taken with."""
        with self._lock:
            return Exposing(
                width_px=int(self.number("Width")),
                height_px=int(self.number("Height")),
                x_offset_px=int(self.number("OffsetX")),
                y_offset_px=int(self.number("OffsetY")),
                pixel_format=self.entry("PixelFormat"),
                exposure_us=self.number("ExposureTime", 10_000.0),
                gain_db=self.number("Gain"),
            )

    def _line(self) -> str:
        return self.entry("LineSelector") or LINES[0]

    def _calculated(self, name: str) -> Value | None:
        """Return a value that follows from others, or None for one that is kept."""
        if name == "DeviceTemperature":
            return self._temperature_c()
        if name == "PayloadSize":
            line = line_bytes(int(self.number("Width")), self.entry("PixelFormat"))
            return int(self.number("Height")) * (line + self._chip.x_padding)
        if name in ("WidthMax", "HeightMax"):
            return self._room(name.removesuffix("Max"))
        if name in ("WidthRoom", "HeightRoom"):
            size = name.removesuffix("Room")
            return self._room(size) - int(self.number("OffsetX" if size == "Width" else "OffsetY"))
        if name in ("OffsetXRoom", "OffsetYRoom"):
            size = "Width" if name == "OffsetXRoom" else "Height"
            return self._room(size) - int(self.number(size))
        return None

    def _room(self, size: str) -> int:
        """Return how many pixels the chip has along ``size`` with the present binning."""
        if size == "Width":
            return self._chip.width_px // int(self.number("BinningHorizontal", 1))
        return self._chip.height_px // int(self.number("BinningVertical", 1))

    def _allows(self, feature: Feature, value: float) -> bool:
        if feature.kind is Kind.ENUMERATION:
            return value in feature.entries.values()
        if feature.kind is Kind.COMMAND:
            return value == 1
        low, high = (
            self._limit(limit, fallback)
            for limit, fallback in ((feature.low, -math.inf), (feature.high, math.inf))
        )
        in_step = feature.step is None or int(value) % feature.step == 0
        return low <= value <= high and in_step

    def _limit(self, limit: int | float | str | None, fallback: float) -> float:
        """Return a limit that is a number, the name of one, or none at all."""
        if limit is None:
            return fallback
        if isinstance(limit, str):
            calculated = self._calculated(limit)
            return float(calculated) if calculated is not None else fallback
        return limit

    def _store(self, name: str, value: float) -> None:
        if name in _PER_LINE:
            self._lines[self._line(), name] = int(value)
            return
        self._values[name] = value
        for binning, size, offset in (
            ("BinningHorizontal", "Width", "OffsetX"),
            ("BinningVertical", "Height", "OffsetY"),
        ):
            if name == binning:
                self._values[size] = self._room(size) // 4 * 4
                self._values[offset] = 0


def _encoded(value: Value) -> bytes:
    if isinstance(value, str):
        return value.encode("ascii")[: REGISTER_BYTES - 1].ljust(REGISTER_BYTES, b"\0")
    return _FLOAT.pack(value) if isinstance(value, float) else _INTEGER.pack(value)
