"""Motion and buffering of the emulated controller."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hal.config import StageConfig
from hal.sim.grbl.firmware import RX_BYTES, GrblFirmware
from hal.sim.grbl.motion import Carriage, Mechanics
from hal.sim.grbl.settings import GrblSettings
from hal.sim.serial.trapezoid import Trapezoid
from hal.stage.grbl.frame import StageFrame
from hal.stage.grbl.wire import jog_line

lengths = st.floats(1e-4, 200.0)
speeds = st.floats(0.1, 100.0)
accelerations = st.floats(1.0, 5000.0)
STILL = Mechanics((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))


@given(lengths, speeds, accelerations, st.floats(0.0, 1.0))
def test_a_trapezoid_obeys_speed_and_acceleration(
    length: float, peak: float, acceleration: float, share: float
) -> None:
    profile = Trapezoid(length, 0.0, peak, acceleration)
    duration = profile.duration
    assert profile.distance(0.0) == 0.0
    assert profile.distance(duration) == pytest.approx(length)
    assert duration >= length / peak
    assert duration >= 2.0 * math.sqrt(length / acceleration) * (1.0 - 1e-9)
    at, dt = share * duration, 1e-3 * duration
    assert 0.0 <= profile.speed(at) <= peak * (1.0 + 1e-9)
    assert abs(profile.speed(at + dt) - profile.speed(at)) <= acceleration * dt * (1.0 + 1e-6)
    assert profile.distance(at + dt) >= profile.distance(at)


@given(speeds, accelerations)
def test_braking_takes_the_physical_distance(speed: float, acceleration: float) -> None:
    stop = Trapezoid.stop(speed, acceleration)
    assert stop.distance(1e9) == pytest.approx(speed**2 / (2.0 * acceleration))
    assert stop.duration == pytest.approx(speed / acceleration)


@given(st.lists(st.floats(-1.0, 1.0), min_size=1, max_size=30), st.floats(0.0, 50.0))
def test_play_never_exceeds_the_backlash(motor_mm: list[float], backlash_um: float) -> None:
    carriage = Carriage(Mechanics((backlash_um,) * 3, (0.0, 0.0, 0.0)), (0.0, 0.0, 0.0), seed=1)
    for x in motor_mm:
        at = carriage.follow((x, 0.0, 0.0))[0]
        assert abs(at - x) * 1000.0 <= backlash_um / 2.0 + 1e-9


def test_the_same_approach_gives_the_same_place_despite_backlash() -> None:
    carriage = Carriage(Mechanics((5.0, 5.0, 5.0), (0.0, 0.0, 0.0)), (0.0, 0.0, 0.0), seed=1)
    from_below, from_above = [], []
    for far in (1.0, -1.0, -1.0, 1.0):
        carriage.follow((far, far, far))
        place = carriage.follow((0.5, 0.5, 0.5))[0]
        (from_above if far > 0.5 else from_below).append(place)
    assert from_below[0] == from_below[1]
    assert from_above[0] - from_below[0] == pytest.approx(0.005)


def homed_firmware() -> tuple[GrblFirmware, float]:
    firmware = GrblFirmware(GrblSettings(), (-50.0, -50.0, -10.0), STILL)
    firmware.power_cycle(0.0)
    firmware.advance(1.0)
    firmware.receive(b"$H\n", 1.0)
    firmware.advance(60.0)
    assert firmware.take_lines()[-1] == "ok"
    return firmware, 60.0


def test_many_lines_in_one_write_overflow_the_buffer_and_get_glued() -> None:
    firmware, now_s = homed_firmware()
    firmware.receive(b"$J=G91 G21 X0.010 F1500\n" * 60, now_s)
    firmware.advance(now_s + 30.0)
    answers = firmware.take_lines()
    # As with the recorded firmware: acknowledgements are missing, and what was glued is an error.
    assert len(answers) < 60
    assert any(answer.startswith("error:") for answer in answers)
    moved_mm = firmware.true_mm(now_s + 30.0)[0] + 99.0
    assert moved_mm != pytest.approx(0.60, abs=0.01)


def test_one_line_at_a_time_never_overflows() -> None:
    firmware, now_s = homed_firmware()
    for _ in range(60):
        firmware.receive(b"$J=G91 G21 X0.010 F1500\n", now_s)
        now_s += 0.1
        firmware.advance(now_s)
    assert firmware.take_lines() == ["ok"] * 60
    assert firmware.true_mm(now_s)[0] + 99.0 == pytest.approx(0.60, abs=1e-6)


def test_a_question_written_together_with_a_jog_is_answered_before_it_begins() -> None:
    firmware, now_s = homed_firmware()
    firmware.receive(b"$J=G90 G21 G53 X-50 F1500\n?", now_s)
    firmware.advance(now_s + 0.05)
    status, ok = firmware.take_lines()
    assert status.startswith("<Idle|MPos:-99.000")
    assert ok == "ok"
    firmware.receive(b"?", now_s + 0.05)
    firmware.advance(now_s + 0.1)
    assert firmware.take_lines()[0].startswith("<Jog|")


def test_the_buffer_holds_128_bytes_while_the_interpreter_waits() -> None:
    firmware, now_s = homed_firmware()
    firmware.receive(b"G1 X-50 F1000\n", now_s)
    firmware.advance(now_s + 1.0)
    firmware.receive(b"!", now_s + 1.0)
    firmware.advance(now_s + 2.0)
    firmware.take_lines()
    line = b"G4 P0\n"
    firmware.receive(line * 40, now_s + 2.0)
    firmware.receive(b"~", now_s + 3.0)
    firmware.advance(now_s + 60.0)
    assert firmware.take_lines() == ["ok"] * (RX_BYTES // len(line))


def test_a_hold_keeps_the_position_and_resume_reaches_the_target() -> None:
    firmware, now_s = homed_firmware()
    firmware.receive(b"G1 X-50 F1000\n", now_s)
    firmware.receive(b"!", now_s + 1.0)
    held = firmware.true_mm(now_s + 3.0)
    assert firmware.true_mm(now_s + 9.0) == held
    assert held[0] < -60.0
    firmware.receive(b"~", now_s + 9.0)
    assert firmware.true_mm(now_s + 30.0)[0] == pytest.approx(-50.0)


def test_a_restart_reports_zeros_that_are_no_position() -> None:
    firmware, now_s = homed_firmware()
    firmware.receive(b"$J=G90 G21 G53 X-50 F1500\n", now_s)
    firmware.advance(now_s + 1.0)
    place = firmware.true_mm(now_s + 1.0)
    firmware.power_cycle(now_s + 1.0)
    firmware.advance(now_s + 2.0)
    firmware.take_lines()
    firmware.receive(b"?", now_s + 2.0)
    assert firmware.take_lines()[0].startswith("<Alarm|MPos:0.000,0.000,0.000")
    assert firmware.true_mm(now_s + 9.0) == pytest.approx(place)


@pytest.mark.parametrize("command", ["G0 X-150\n", "G1 X5 F100\n"])
def test_a_move_out_of_range_mutes_the_controller_until_reset(command: str) -> None:
    firmware, now_s = homed_firmware()
    firmware.receive(command.encode(), now_s)
    firmware.advance(now_s + 1.0)
    assert firmware.take_lines() == ["ALARM:2", "[MSG:Reset to continue]"]
    firmware.receive(b"?$X\n", now_s + 1.0)
    firmware.advance(now_s + 2.0)
    assert firmware.take_lines() == []
    firmware.receive(b"\x18", now_s + 2.0)
    firmware.advance(now_s + 3.0)
    assert firmware.take_lines()[:3] == ["ok", "", "Grbl 1.1h ['$' for help]"]


@given(st.floats(0.0, 99_000.0))
@example(37_268.13318208955)
def test_the_step_the_controller_takes_counts_as_arrived(target_um: float) -> None:
    config = StageConfig()
    frame = StageFrame(config)
    goal_mm = frame.targets_mm((target_um, None, None))
    sent_mm = float(jog_line(goal_mm, 1000.0).split(" X")[1].split()[0])
    stands_mm = round(sent_mm * config.steps_per_mm_xy) / config.steps_per_mm_xy
    reported_mm = round(stands_mm, 3)
    assert frame.is_at((reported_mm, 0.0, 0.0), (goal_mm["X"], 0.0, 0.0))
