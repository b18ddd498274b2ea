"""Faults of devices behind a wire: the simulated GenTL camera, and the stage's APT controllers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from check_rig import CheckRig, check_rig, found

from device.checks.report import Level, Verdict
from hal.sim.gentl.faults import WireFaults
from models.runtime import ModelSet

WIRE: dict[str, dict[str, Any]] = {
    "simulation": {"wire": True},
    "camera": {"frame_timeout_ms": 15_000.0},
}
APT = {"stage": {"driver": "apt"}}
SPEED = 10.0
SWITCHES = {
    "drop": ({"drop": 1}, Verdict.WARN),
    "incomplete": ({"incomplete": 1}, Verdict.WARN),
    "stale": ({"stale": 1}, Verdict.WARN),
    "late": ({"late": 1, "late_ms": 60_000.0}, Verdict.WARN),
    "wrong_size": ({"wrong_size": 1000}, Verdict.FAIL),
    "access_errors": ({"access_errors": 1000}, Verdict.FAIL),
}


def test_every_switch_of_the_wire_is_here() -> None:
    assert {switch.name for switch in fields(WireFaults)} == SWITCHES.keys() | {"late_ms"}


@pytest.mark.slow
@pytest.mark.parametrize("name", SWITCHES)
def test_a_fault_of_the_camera_behind_the_wire_is_caught(
    gentl: None, tmp_path: Path, models: ModelSet, name: str
) -> None:
    switches, verdict = SWITCHES[name]
    with check_rig(tmp_path, models, WIRE, SPEED) as rig:
        rig.world.camera.inject(**switches)  # type: ignore[arg-type]
        result = found(rig.run(Level.STARTUP, ["CHECK-CAMERA-FRAMES"]), "CHECK-CAMERA-FRAMES")
    assert (result.verdict, bool(result.remedy)) == (verdict, True), result


@pytest.mark.parametrize(
    "pull",
    [lambda rig: rig.world.emulator.unplug(), lambda rig: rig.world.emulator.unplug("z")],
    ids=["xy", "z"],
)
def test_an_apt_controller_without_its_cable_is_caught(
    tmp_path: Path, models: ModelSet, pull: Callable[[CheckRig], None]
) -> None:
    pytest.importorskip("thorlabs_apt_protocol", reason="the extra apt is not installed")
    with check_rig(tmp_path, models, APT) as rig:
        pull(rig)
        result = found(rig.run(Level.STARTUP, ["CHECK-STAGE-LINK"]), "CHECK-STAGE-LINK")
    assert (result.verdict, result.code) == (Verdict.FAIL, "STAGE-PORT"), result
