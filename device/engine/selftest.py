"""The self-test: what must work before a sample is accepted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from device.errors import SelfTestError
from device.records.records import Records
from hal.camera import Camera
from hal.errors import StageError
from hal.factory import Hardware
from hal.light import Light
from hal.stage import Stage
from models.runtime import ModelSet

log = logging.getLogger(__name__)

MAX_DARK_LEVEL = 0.05
"""Share of full scale that a frame without light may have on average."""


def run_self_test(
    hardware: Hardware,
    records: Records,
    load_models: Callable[[], ModelSet],
    workers: int,
    frame_timeout_ms: float,
) -> Sequence[ModelSet]:
    """Check light, panel, camera, stage, networks and records; return the networks.

    No light is switched on and nothing moves.

    Raises:
        SelfTestError: the light line is on, or the camera sees light in the dark.
        LeukoluxError: as the part under test raises.
    """
    check_light(hardware.light)
    lid_closed = hardware.panel.lid_closed
    check_camera(hardware.camera, frame_timeout_ms, dark=lid_closed)
    check_stage(hardware.stage)
    models = [load_models() for _ in range(workers)]
    log.info("%s", models[0].execution.line(workers))
    records.check_writable()
    log.info("self-test passed")
    return models


def check_light(light: Light) -> None:
    """Raise SelfTestError when the light is on."""
    if light.is_on:
        light.off()
        raise SelfTestError(
            "The UV light was on without a pulse; it was switched off.",
            remedy="Switch the instrument off and have the light's wiring checked.",
            code="SELF-TEST-LIGHT",
        )


def check_camera(camera: Camera, frame_timeout_ms: float, *, dark: bool) -> None:
    """Take a frame without light; with the lid closed (``dark``) it must be dark."""
    camera.trigger()
    camera.wait_exposed()
    frame = camera.read(frame_timeout_ms)
    level = float(frame.pixels.mean()) / frame.pixel_format.full_scale
    if dark and level > MAX_DARK_LEVEL:
        raise SelfTestError(
            f"The camera sees {100 * level:.0f} % of full scale with the light off.",
            remedy="Close the lid tightly; when it stays, have the camera and the light checked.",
            code="SELF-TEST-DARK",
        )


def check_stage(stage: Stage) -> None:
    """Ask the stage for its position; before the first homing it need not know it."""
    try:
        stage.position()
    except StageError:
        if stage.homed:
            raise
