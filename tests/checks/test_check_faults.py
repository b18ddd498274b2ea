"""Every fault the simulated instrument can have is caught by the check that should catch it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from check_rig import READBACK_PIN, SPEED, CheckRig, check_rig, copy_of_the_networks, found

from device.checks.catalogue import CATALOGUE
from device.checks.report import Level, Verdict
from device.errors import RecordsError
from hal.config import LightConfig, PanelConfig
from hal.sim.gpio.module import FakeGpio
from hal.sim.grbl.emulator import GrblEmulator
from hal.sim.grbl.motion import Mechanics
from hal.sim.optics.camera import CameraFaults
from hal.sim.optics.faults import OpticalFaults
from hal.sim.optics.mounting import Mounting
from models.runtime import ModelSet
from models.verify import load_tested_models

LIGHT, PANEL = LightConfig(), PanelConfig()
BRIGHTNESS_PER_S = 14.0
"""Of the simulated LED when new, full scales per second."""


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        name: of the case.
        switch: the switch of the simulation, or what is broken otherwise.
        caught_by: the one check that must not pass; None where the driver heals it.
        apply: turns it on.
        level: the least level that notices it.
        changes: settings it needs.
        verdict: what its check says.
        speed: simulated seconds per real second, where the light's real time matters.
    """

    name: str
    switch: str
    caught_by: str | None
    apply: Callable[[CheckRig], None] = lambda rig: None
    level: Level = Level.DAILY
    changes: dict[str, dict[str, Any]] = field(default_factory=dict)
    verdict: Verdict = Verdict.FAIL
    speed: float = SPEED


def camera(**switches: float) -> Callable[[CheckRig], None]:
    return lambda rig: rig.world.camera.inject(**switches)


def optics(**switches: float) -> Callable[[CheckRig], None]:
    def apply(rig: CheckRig) -> None:
        for name, value in switches.items():
            setattr(rig.world.microscope.faults, name, value)

    return apply


def sensor(**changes: Any) -> Callable[[CheckRig], None]:
    def apply(rig: CheckRig) -> None:
        microscope = rig.world.microscope
        microscope.sensor = replace(microscope.sensor, **changes)

    return apply


def mounted(**changes: Any) -> Callable[[CheckRig], None]:
    def apply(rig: CheckRig) -> None:
        rig.world.microscope.mounting = Mounting(**changes)

    return apply


def worn(**changes: Any) -> Callable[[CheckRig], None]:
    return lambda rig: rig.world.emulator.wear(replace(Mechanics(), **changes))


def stage(method: str, *arguments: Any) -> Callable[[CheckRig], None]:
    return lambda rig: getattr(rig.world.emulator, method)(*arguments)


def restart(rig: CheckRig) -> None:
    rig.hardware.stage.open()
    rig.world.emulator.restart()


def old_led(rig: CheckRig) -> None:
    rig.records.light.judge("1", BRIGHTNESS_PER_S, sound=True)
    rig.world.microscope.faults.led_output = 0.4


def no_supervisor(rig: CheckRig) -> None:
    assert rig.world.supervisor is not None
    rig.world.supervisor.close()


def current_that_never_ends(rig: CheckRig) -> None:
    rig.world.gpio.lines.couple(LIGHT.pin, None)
    rig.world.gpio.set_input(READBACK_PIN, FakeGpio.HIGH)


def no_current(rig: CheckRig) -> None:
    rig.world.gpio.lines.couple(LIGHT.pin, None)


def damaged_network(rig: CheckRig) -> None:
    folder = copy_of_the_networks(rig.records.path.parent)
    file = folder / "scout.onnx"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(data)
    rig.load_models = partial(load_tested_models, "cpu", folder)


def full_disk(rig: CheckRig) -> None:
    """Let the database not grow any more, which SQLite reports as a full disk, and fill it."""
    connection = rig.records.writer._db.conn
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")
    size = 4_000
    while size >= 0:
        try:
            rig.records.add_event(None, "", {"text": "x" * size} if size else {})
        except RecordsError:
            size = size // 2 if size else -1


def damaged_records(rig: CheckRig) -> None:
    """Enter an index without its rows, as a torn page leaves it."""
    connection = rig.records.writer._db.conn
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute(
        "UPDATE sqlite_master SET rootpage = (SELECT rootpage FROM sqlite_master WHERE "
        "name = 'events') WHERE name = 'idx_tiles_run_id_row_column'"
    )
    connection.commit()
    connection.execute("PRAGMA writable_schema = RESET")


def wrong_clock(rig: CheckRig) -> None:
    rig.records.add_event(None, "note", {})
    rig.now -= timedelta(days=400)


FAULTS = (
    # camera
    Fault("one frame dropped", "CameraFaults.drop", "CHECK-CAMERA-FRAMES", camera(drop=1),
          Level.STARTUP, verdict=Verdict.WARN),
    Fault("all frames dropped", "CameraFaults.drop", "CHECK-CAMERA-FRAMES", camera(drop=1000),
          Level.STARTUP),
    Fault("frame with missing lines", "CameraFaults.incomplete", "CHECK-CAMERA-FRAMES",
          camera(incomplete=1), Level.STARTUP, verdict=Verdict.WARN),
    Fault("stale frame", "CameraFaults.stale", "CHECK-CAMERA-FRAMES", camera(stale=1),
          Level.STARTUP, verdict=Verdict.WARN),
    Fault("late frame", "CameraFaults.late", "CHECK-CAMERA-FRAMES", camera(late=1),
          Level.STARTUP, verdict=Verdict.WARN),
    Fault("very late frame", "CameraFaults.late_ms", "CHECK-CAMERA-FRAMES",
          camera(late=1, late_ms=60_000.0), Level.STARTUP, verdict=Verdict.WARN),
    Fault("camera unplugged", "SimCamera.unplug", "CHECK-CAMERA-FRAMES",
          lambda rig: rig.world.camera.unplug(), Level.STARTUP),
    Fault("hot pixels", "Sensor.hot_pixels", "CHECK-CAMERA-HOT", sensor(hot_pixels=400),
          Level.STARTUP, verdict=Verdict.WARN),
    Fault("noisy electronics", "Sensor.read_noise_e", "CHECK-CAMERA-NOISE",
          sensor(read_noise_e=80.0)),
    Fault("chip that saturates softly", "Sensor.compression", "CHECK-CAMERA-LINEAR",
          sensor(compression=0.3)),
    # light
    Fault("no supervisor", "InnerSupervisor.close", "CHECK-LIGHT-SUPERVISOR", no_supervisor,
          Level.STARTUP),
    Fault("light's line stuck high", "Lines.stick", "CHECK-LIGHT-LINE",
          lambda rig: rig.world.gpio.lines.stick(LIGHT.pin, FakeGpio.HIGH), Level.STARTUP),
    Fault("light's line dead", "FakeGpio.fail", "CHECK-LIGHT-LINE",
          lambda rig: rig.world.gpio.fail(LIGHT.pin), Level.STARTUP),
    Fault("no current through the LED", "Lines.couple", "CHECK-LIGHT-PULSE", no_current,
          speed=4.0),
    Fault("current without a pulse", "Lines.couple", "CHECK-LIGHT-PULSE",
          current_that_never_ends),
    Fault("LED worn", "OpticalFaults.led_output", "CHECK-BLANK-LEVEL", old_led),
    Fault("LED dead", "OpticalFaults.led_output", "CHECK-BLANK-LEVEL", optics(led_output=0.0)),
    Fault("stray light", "OpticalFaults.leak_e_per_ms", "CHECK-CAMERA-DARK",
          optics(leak_e_per_ms=30.0), Level.STARTUP),
    Fault("lamp out of line", "OpticalFaults.misalignment", "CHECK-BLANK-EVENNESS",
          optics(misalignment=0.4)),
    Fault("dirty optics", "OpticalFaults.dirt", "CHECK-BLANK-CLEAN", optics(dirt=0.15)),
    Fault("objective slipped", "OpticalFaults.defocus_um", "CHECK-FOCUS",
          optics(defocus_um=300.0)),
    Fault("another objective", "SimulatedWorld.fit_objective", "CHECK-STAGE-SCALE",
          lambda rig: rig.world.fit_objective(0.22)),
    Fault("another tube lens", "Mounting.scale", "CHECK-STAGE-SCALE", mounted(scale=1.15)),
    Fault("camera turned", "Mounting.rotation_deg", "CHECK-CAMERA-ANGLE",
          mounted(rotation_deg=9.0)),
    Fault("camera mirrored", "Mounting.mirrored", "CHECK-CAMERA-ANGLE", mounted(mirrored=True)),
    # panel
    Fault("lid open", "SimulatedWorld.set_lid", "CHECK-LID",
          lambda rig: rig.world.set_lid(closed=False), verdict=Verdict.WARN),
    Fault("lid switch dead", "FakeGpio.fail", "CHECK-PANEL",
          lambda rig: rig.world.gpio.fail(PANEL.lid_pin)),
    Fault("lamp dead", "FakeGpio.fail", "CHECK-PANEL",
          lambda rig: rig.world.gpio.fail(PANEL.lamp_red_pin), Level.STARTUP),
    # stage
    Fault("stage unplugged", "GrblEmulator.unplug", "CHECK-STAGE-LINK", stage("unplug"),
          Level.STARTUP),
    Fault("stage silent", "GrblEmulator.set_silent", "CHECK-STAGE-LINK",
          stage("set_silent", True), Level.STARTUP),
    Fault("stage's lines garbled", "GrblEmulator.garble", "CHECK-STAGE-LINK",
          stage("garble", 10_000), Level.STARTUP),
    Fault("stage's answers lost", "GrblEmulator.lose_oks", "CHECK-STAGE-LINK",
          stage("lose_oks", 1_000), Level.STARTUP),
    Fault("controller restarts", "GrblEmulator.restart", "CHECK-STAGE-LINK", restart,
          Level.STARTUP),
    Fault("bytes of a line lost", "GrblEmulator.lose_bytes", "CHECK-STAGE-HOME",
          lambda rig: rig.meanwhile("CHECK-STAGE-HOME", stage("lose_bytes", 2))),
    Fault("one line garbled", "GrblEmulator.garble", None,
          lambda rig: rig.meanwhile("CHECK-STAGE-HOME", stage("garble", 1))),
    Fault("home switch not found", "GrblEmulator.fail_next_homing", "CHECK-STAGE-HOME",
          stage("fail_next_homing", 9)),
    Fault("home switch stays pressed", "GrblEmulator.press_limit", "CHECK-STAGE-HOME",
          stage("press_limit", "X")),
    Fault("belt slips", "Mechanics.slip_um", "CHECK-STAGE-RETURN", worn(slip_um=(6.0, 0.0, 0.0))),
    Fault("stage stops anywhere", "Mechanics.repeatability_um", "CHECK-STAGE-RETURN",
          worn(repeatability_um=(12.0, 12.0, 0.1))),
    Fault("spindle has play", "Mechanics.backlash_um", "CHECK-STAGE-PLAY",
          worn(backlash_um=(60.0, 60.0, 2.0)), Level.FULL),
    Fault("home switch loose", "Mechanics.switch_slip_um", "CHECK-STAGE-SWITCHES",
          worn(switch_slip_um=(15.0, 0.0, 0.0)), Level.FULL),
    # computer
    Fault("network damaged", "file", "CHECK-NETWORKS", damaged_network, Level.STARTUP),
    Fault("threshold misplaced", "settings", "CHECK-KNOWN-TILE",
          changes={"analysis": {"scout_threshold": 0.995}}),
    Fault("pixel size misplaced", "settings", "CHECK-KNOWN-TILE",
          lambda rig: rig.world.fit_objective(0.2), changes={"camera": {"pixel_um": 0.2}}),
    Fault("exposure beyond the pulse", "settings", "CHECK-SETTINGS", level=Level.STARTUP,
          changes={"light": {"max_pulse_ms": 40.0}}),
    Fault("focus beyond the limit of z", "settings", "CHECK-SETTINGS", level=Level.STARTUP,
          changes={"stage": {"limit_z_high_um": 5_010.0}}),
    Fault("blank glass beyond the limit of x", "settings", "CHECK-SETTINGS", level=Level.STARTUP,
          changes={"stage": {"limit_right_um": 50_000.0}}),
    Fault("disk full", "disk", "CHECK-RECORDS-WRITE", full_disk, Level.STARTUP),
    Fault("disk nearly full", "disk", "CHECK-DISK-SPACE", level=Level.STARTUP,
          changes={"records": {"min_free_mb": 999_999.0}}, verdict=Verdict.WARN),
    Fault("records damaged", "file", "CHECK-RECORDS-INTEGRITY", damaged_records),
    Fault("wrong clock", "clock", "CHECK-CLOCK", wrong_clock, Level.STARTUP,
          verdict=Verdict.WARN),
)  # fmt: skip


def cases() -> list[Any]:
    """Those that need light or motion take a second or two each."""
    return [
        pytest.param(
            fault,
            id=fault.name.replace(" ", "-"),
            marks=() if fault.level is Level.STARTUP else pytest.mark.slow,
        )
        for fault in FAULTS
    ]


@pytest.mark.parametrize("fault", cases())
def test_a_fault_is_caught_by_its_check_alone(
    fault: Fault, tmp_path: Path, models: ModelSet
) -> None:
    with check_rig(tmp_path, models, fault.changes, fault.speed) as rig:
        fault.apply(rig)
        report = rig.run(fault.level)
        complaints = {
            result.id: result.verdict
            for result in report.results
            if result.verdict in (Verdict.WARN, Verdict.FAIL)
        }
        expected = {} if fault.caught_by is None else {fault.caught_by: fault.verdict}
        assert complaints == expected, [r for r in report.results if r.id in complaints]
        if fault.caught_by is not None:
            result = found(report, fault.caught_by)
            assert result.cause
            assert result.remedy
            assert result.code
        assert not rig.hardware.light.is_on
        assert rig.records.path.exists()


WHOLE_CAMERA = {
    "camera": {"width_px": 1392, "height_px": 1040},
    "scan": {"width_um": 4000.0, "height_um": 1000.0},
}


@pytest.mark.slow
@pytest.mark.parametrize("set_um", [0.10, 0.137, 0.155, 0.18, 0.25])
def test_a_pixel_size_that_is_not_the_camera_s_is_caught_by_the_scale(
    tmp_path: Path, models: ModelSet, set_um: float
) -> None:
    changes = {**WHOLE_CAMERA, "camera": {**WHOLE_CAMERA["camera"], "pixel_um": set_um}}
    with check_rig(tmp_path, models, changes) as rig:
        rig.world.fit_objective(0.165)
        result = found(rig.run(Level.DAILY, ["CHECK-STAGE-SCALE"]), "CHECK-STAGE-SCALE")
    assert result.verdict is Verdict.FAIL
    assert "camera.pixel_um" in result.remedy
    if set_um < 0.2:
        along = [float(um) for um in re.findall(r"([0-9.]+) um along", result.cause)]
        assert along == pytest.approx([0.165, 0.165], rel=0.02)


@pytest.mark.slow
def test_a_whole_camera_s_scale_is_known_to_a_few_percent(tmp_path: Path, models: ModelSet) -> None:
    with check_rig(tmp_path, models, WHOLE_CAMERA) as rig:
        result = found(rig.run(Level.DAILY, ["CHECK-STAGE-SCALE"]), "CHECK-STAGE-SCALE")
    assert result.verdict is Verdict.PASS
    assert result.high is not None
    assert result.high < 4.0


def test_every_check_has_a_fault_that_it_catches() -> None:
    assert {check.id for check in CATALOGUE} == {fault.caught_by for fault in FAULTS} - {None}


def switches() -> set[str]:
    """Everything the simulation offers to make it go wrong."""
    named = {
        f"{kind.__name__}.{switch.name}"
        for kind in (CameraFaults, OpticalFaults, Mechanics, Mounting)
        for switch in fields(kind)
    }
    harmless = {
        "close",
        "plug_in",
        "release_limit",
        "true_position_um",
        "true_position_um_at",
        "wear",
    }
    named |= {
        f"GrblEmulator.{name}"
        for name, _ in inspect.getmembers(GrblEmulator, inspect.isfunction)
        if not name.startswith("_") and name not in harmless
    }
    return named | {"Lines.stick", "Lines.couple", "FakeGpio.fail", "SimCamera.unplug"}


def test_every_switch_of_the_simulation_is_in_the_table() -> None:
    assert switches() <= {fault.switch for fault in FAULTS}


@pytest.mark.slow
def test_a_sound_instrument_passes_everything(rig: CheckRig) -> None:
    report = rig.run(Level.FULL)
    assert report.verdict is Verdict.PASS, [r for r in report.results if r.cause]
    assert {result.verdict for result in report.results} == {Verdict.PASS}
