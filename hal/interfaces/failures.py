"""Failures that every driver of a camera or a stage reports alike."""

from __future__ import annotations

from hal.errors import CameraError, DeviceClosedError, FrameError, StageError, StageLimitError


def camera_closed() -> DeviceClosedError:
    """Return the error of a camera that is not open."""
    return DeviceClosedError("CAMERA-CLOSED")


def camera_unplugged(doing: str, said: str) -> CameraError:
    """Return the error of a camera that is gone.

    Args:
        doing: what was tried.
        said: how it failed.
    """
    return CameraError("CAMERA-UNPLUGGED", doing=doing, said=said)


def camera_out_of_range(feature: str, value: float, low: float, high: float) -> CameraError:
    """Return the error of a value beyond what the camera allows."""
    return CameraError("CAMERA-RANGE", feature=feature, value=value, low=low, high=high)


def not_triggered() -> FrameError:
    """Return the error of reading a frame that nothing triggered."""
    return FrameError("CAMERA-NOT-TRIGGERED")


def frame_late(frame: int, timeout_ms: float) -> FrameError:
    """Return the error of a frame that did not come in time."""
    return FrameError("CAMERA-FRAME-LATE", frame=frame, timeout_ms=timeout_ms)


def frame_incomplete(frame: int) -> FrameError:
    """Return the error of a frame with missing parts."""
    return FrameError("CAMERA-FRAME-INCOMPLETE", frame=frame)


def frame_stale(came: int, frame: int) -> FrameError:
    """Return the error of an earlier frame in the place of the one that was triggered."""
    return FrameError("CAMERA-FRAME-STALE", came=came, frame=frame)


def not_homed() -> StageError:
    """Return the error of a stage that does not know its position."""
    return StageError("STAGE-NOT-HOMED")


def outside_travel(axis: str, target_um: float, length_um: float) -> StageLimitError:
    """Return the error of a target beyond the ends of an axis."""
    return StageLimitError(
        "STAGE-OUTSIDE-TRAVEL", axis=axis, target_um=target_um, length_um=length_um
    )
