"""Sets an open camera as the settings say, from a known beginning."""

from __future__ import annotations

from hal.camera.genicam.nodes import Nodes
from hal.camera.genicam.unpacking import group_px
from hal.config import CameraConfig
from hal.errors import CameraError
from hal.interfaces.camera import PixelFormat

_OFF_WHERE_THERE = ("ExposureAuto", "GainAuto", "BlackLevelAuto")
_FALSE_WHERE_THERE = ("ChunkModeActive", "GammaEnable", "LUTEnable")
"""What would make counts something else than light, or frames something else than pixels."""


def check_width(config: CameraConfig) -> None:
    """Raise CameraError if lines of a packed format would end inside a byte."""
    group = group_px(PixelFormat(config.pixel_format))
    if config.width_px % group:
        raise CameraError(
            "CAMERA-WIDTH",
            width_px=config.width_px,
            pixel_format=config.pixel_format,
            step_px=group,
        )


def configure(nodes: Nodes, config: CameraConfig) -> tuple[float, float]:
    """Apply ``config``; return exposure in us and gain in dB as the camera took them.

    Raises:
        CameraError: the camera lacks a feature or does not allow a value; names it.
    """
    _begin_with_defaults(nodes)
    _set_region(nodes, config)
    nodes.choose("PixelFormat", config.pixel_format)
    _set_trigger(nodes)
    if config.strobe_line:
        _set_strobe(nodes, config.strobe_line)
    nodes.put("ExposureTime", config.exposure_ms * 1000.0)
    unit = nodes.unit("Gain")
    if unit and unit.lower() != "db":
        raise CameraError("CAMERA-GAIN-UNIT", unit=unit)
    nodes.put("Gain", config.gain_db)
    return nodes.number("ExposureTime"), nodes.number("Gain")


def _begin_with_defaults(nodes: Nodes) -> None:
    """Undo what another program left in the camera."""
    if nodes.has("UserSetSelector") and nodes.has("UserSetLoad"):
        nodes.choose("UserSetSelector", "Default")
        nodes.execute("UserSetLoad")
    for name in _OFF_WHERE_THERE:
        if nodes.has(name):
            nodes.choose(name, "Off")
    for name in _FALSE_WHERE_THERE:
        if nodes.has(name):
            nodes.switch(name, on=False)


def _set_region(nodes: Nodes, config: CameraConfig) -> None:
    for name in ("BinningHorizontal", "BinningVertical"):
        if config.binning != 1 or nodes.has(name):
            nodes.put(name, config.binning)
    offsets = {"OffsetX": config.offset_x_px, "OffsetY": config.offset_y_px}
    movable = [name for name, value in offsets.items() if value or nodes.has(name)]
    # An image anywhere else might leave no room for its new size.
    for name in movable:
        nodes.put(name, 0)
    nodes.put("Width", config.width_px)
    nodes.put("Height", config.height_px)
    for name in movable:
        nodes.put(name, offsets[name])


def _set_trigger(nodes: Nodes) -> None:
    """One frame per software trigger, exposed for the time that is set."""
    nodes.choose("AcquisitionMode", "Continuous")
    if nodes.has("ExposureMode"):
        nodes.choose("ExposureMode", "Timed")
    nodes.choose("TriggerSelector", "FrameStart")
    nodes.choose("TriggerMode", "On")
    nodes.choose("TriggerSource", "Software")
    nodes.require("TriggerSoftware")


def _set_strobe(nodes: Nodes, line: str) -> None:
    nodes.choose("LineSelector", line)
    if nodes.has("LineMode"):
        nodes.choose("LineMode", "Output")
    nodes.choose("LineSource", "ExposureActive")
