"""The features of the simulated camera: names of the standard feature naming convention (SFNC)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

PIXEL_FORMATS = {
    "Mono8": 0x01080001,
    "Mono10": 0x01100003,
    "Mono12": 0x01100005,
    "Mono10p": 0x010A0046,
    "Mono12p": 0x010C0047,
    "Mono12Packed": 0x010C0006,
}
"""Names and values of the pixel format naming convention (PFNC)."""

MIN_EXPOSURE_US = 20.0
MAX_EXPOSURE_US = 1_000_000.0
MAX_GAIN_DB = 24.0
MAX_BINNING = 8
LINES = ("Line0", "Line1", "Line2", "Line3")
SIZE_STEP_PX = 4
MIN_SIZE_PX = 16


class Kind(Enum):
    """Kind of a feature, with the node of its description."""

    INTEGER = "Integer"
    FLOAT = "Float"
    ENUMERATION = "Enumeration"
    COMMAND = "Command"
    STRING = "StringReg"


@dataclass(frozen=True)
class Feature:
    """One feature.

    Attributes:
        value: at power-up; of an enumeration, the value of its entry.
        writable: whether the host may write it.
        locked: not writable while frames are being taken.
        low: least value, or the name of the feature that holds it.
        high: largest value, or the name of the feature that holds it.
        entries: of an enumeration, name and value.
        selects: features that this one chooses among.
    """

    category: str
    name: str
    kind: Kind
    value: int | float | str = 0
    writable: bool = True
    locked: bool = False
    low: int | float | str | None = None
    high: int | float | str | None = None
    step: int | None = None
    unit: str = ""
    entries: dict[str, int] = field(default_factory=dict)
    selects: tuple[str, ...] = ()


@dataclass(frozen=True)
class Chip:
    """Which camera is simulated.

    Attributes:
        without: features that this camera does not have.
        allowed: what it allows of a feature, by name and attribute of :class:`Feature`; of
            ``entries`` the names.
        x_padding: bytes after each line of a frame.
        first_id: number of the first frame of an acquisition.
        id_bits: width of the frame counter.
    """

    serial: str
    width_px: int
    height_px: int
    vendor: str = "Leukolux"
    model: str = "Virtual UV camera"
    version: str = "1.0"
    x_padding: int = 0
    first_id: int = 0
    id_bits: int = 64
    without: frozenset[str] = frozenset()
    allowed: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def features_of(chip: Chip) -> list[Feature]:
    """Return the features of ``chip``, in the order of its description."""
    features = [*_identity(chip), *_image(chip), *_acquisition(), *_analog(), *_lines(), *_rest()]
    names = {feature.name for feature in features}
    if unknown := (chip.without | set(chip.allowed)) - names:
        raise ValueError(f"no feature is called {', '.join(sorted(unknown))}")
    kept = [feature for feature in features if feature.name not in chip.without]
    return [
        _narrowed(
            replace(f, selects=tuple(name for name in f.selects if name not in chip.without)),
            chip.allowed.get(f.name, {}),
        )
        for f in kept
    ]


def _narrowed(feature: Feature, allowed: Mapping[str, Any]) -> Feature:
    """Return ``feature`` with what is allowed of it; its value at power-up is allowed, too."""
    changes = dict(allowed)
    if "entries" in changes:
        known = feature.entries
        changes["entries"] = {name: known[name] for name in changes["entries"] if name in known}
        if feature.value not in changes["entries"].values():
            changes["value"] = next(iter(changes["entries"].values()), feature.value)
    elif "low" in changes and isinstance(feature.value, int | float):
        low, high = changes["low"], changes["high"]
        changes["value"] = type(feature.value)(min(max(feature.value, low), high))
    return replace(feature, **changes)


def _enumeration(category: str, name: str, entries: Sequence[str], **more: object) -> Feature:
    values = {entry: number for number, entry in enumerate(entries)}
    return replace(Feature(category, name, Kind.ENUMERATION, entries=values), **more)  # type: ignore[arg-type]


def _identity(chip: Chip) -> list[Feature]:
    texts = {
        "DeviceVendorName": chip.vendor,
        "DeviceModelName": chip.model,
        "DeviceSerialNumber": chip.serial,
        "DeviceFirmwareVersion": chip.version,
    }
    control = "DeviceControl"
    return [
        *(Feature(control, name, Kind.STRING, text, False) for name, text in texts.items()),
        Feature(control, "DeviceTemperature", Kind.FLOAT, 24.0, False, unit="C"),
    ]


def _image(chip: Chip) -> list[Feature]:
    control = "ImageFormatControl"

    def fixed(name: str, value: int) -> Feature:
        return Feature(control, name, Kind.INTEGER, value, writable=False)

    def size(name: str, value: int) -> Feature:
        return Feature(
            control,
            name,
            Kind.INTEGER,
            value,
            locked=True,
            low=MIN_SIZE_PX,
            high=f"{name}Room",
            step=SIZE_STEP_PX,
        )

    def offset(name: str) -> Feature:
        return Feature(
            control, name, Kind.INTEGER, low=0, high=f"{name}Room", step=SIZE_STEP_PX, locked=True
        )

    def binning(name: str) -> Feature:
        return Feature(control, name, Kind.INTEGER, 1, low=1, high=MAX_BINNING, locked=True)

    return [
        fixed("SensorWidth", chip.width_px),
        fixed("SensorHeight", chip.height_px),
        fixed("WidthMax", chip.width_px),
        fixed("HeightMax", chip.height_px),
        binning("BinningHorizontal"),
        binning("BinningVertical"),
        size("Width", chip.width_px),
        size("Height", chip.height_px),
        offset("OffsetX"),
        offset("OffsetY"),
        Feature(
            control,
            "PixelFormat",
            Kind.ENUMERATION,
            PIXEL_FORMATS["Mono8"],
            entries=PIXEL_FORMATS,
            locked=True,
        ),
    ]


def _acquisition() -> list[Feature]:
    control = "AcquisitionControl"
    triggers = ("TriggerMode", "TriggerSoftware", "TriggerSource", "TriggerActivation")
    return [
        _enumeration(control, "AcquisitionMode", ["Continuous"], locked=True),
        Feature(control, "AcquisitionStart", Kind.COMMAND),
        Feature(control, "AcquisitionStop", Kind.COMMAND),
        _enumeration(control, "TriggerSelector", ["FrameStart"], selects=triggers),
        _enumeration(control, "TriggerMode", ["Off", "On"]),
        Feature(control, "TriggerSoftware", Kind.COMMAND),
        _enumeration(control, "TriggerSource", ["Line1", "Software"]),
        _enumeration(control, "TriggerActivation", ["RisingEdge"]),
        _enumeration(control, "ExposureMode", ["Timed"]),
        Feature(
            control,
            "ExposureTime",
            Kind.FLOAT,
            10_000.0,
            low=MIN_EXPOSURE_US,
            high=MAX_EXPOSURE_US,
            unit="us",
        ),
    ]


def _analog() -> list[Feature]:
    control = "AnalogControl"
    return [
        Feature(control, "Gain", Kind.FLOAT, 0.0, low=0.0, high=MAX_GAIN_DB, unit="dB"),
        Feature(control, "BlackLevel", Kind.FLOAT, 0.008, False, unit="share of full scale"),
    ]


def _lines() -> list[Feature]:
    control = "DigitalIOControl"
    return [
        _enumeration(control, "LineSelector", LINES, selects=("LineMode", "LineSource")),
        _enumeration(control, "LineMode", ["Input", "Output"]),
        _enumeration(control, "LineSource", ["Off", "ExposureActive"]),
    ]


def _rest() -> list[Feature]:
    transport = "TransportLayerControl"
    return [
        Feature(transport, "PayloadSize", Kind.INTEGER, 0, writable=False, unit="B"),
        Feature(transport, "TLParamsLocked", Kind.INTEGER, 0, low=0, high=1),
        _enumeration("UserSetControl", "UserSetSelector", ["Default"], selects=("UserSetLoad",)),
        Feature("UserSetControl", "UserSetLoad", Kind.COMMAND),
    ]
