"""Settle times measured from images: on drawn frames, and on the simulated instrument."""

from __future__ import annotations

import math
from dataclasses import dataclass
from threading import Event
from types import SimpleNamespace
from typing import Any, cast

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.calibration.steps.settling import (
    DELAYS_MS,
    FINAL_MS,
    MAX_SHIFT_PX,
    Sample,
    SettlingMeter,
    image_shift_px,
    settle_time,
)
from device.errors import SettlingError
from device.imaging.dose import DoseLedger, DoseLimits
from device.imaging.field import Field
from device.imaging.imager import Imager
from hal.clock import ManualClock, SystemClock
from hal.config import AptConfig, CameraConfig, HardwareConfig, SimulationConfig, StageConfig
from hal.errors import Cancelled
from hal.factory import build_hardware
from hal.interfaces.stage import Position

SIZE = 128
FIELDS = tuple(Field(0, column, 36_000.0 + 200.0 * column, 44_000.0) for column in range(4))


def drawn(shift_px: float = 0.0, *, blur_px: float = 1.0, seed: int = 0) -> np.ndarray:
    """Cells at places of their own, moved by ``shift_px`` to the right, with noise and shading."""
    places = np.random.default_rng(3).uniform(10.0, SIZE - 10.0, (14, 2))
    rows, columns = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    image = np.full((SIZE, SIZE), 3000.0, np.float32)
    for x, y in places:
        distance = np.hypot(columns - x - shift_px, rows - y)
        image -= 900.0 / (1.0 + np.exp((distance - 8.0) / 0.7))
    image = cv2.GaussianBlur(image, (0, 0), blur_px)
    shading = 1.0 - 0.3 * np.hypot(rows / SIZE - 0.5, columns / SIZE - 0.5)
    noise = np.random.default_rng(seed).normal(0.0, 25.0, image.shape)
    return np.clip(image * shading + noise, 0, 4095).astype(np.uint16)


@settings(max_examples=30)
@given(st.floats(-8.0, 8.0), st.integers(0, 100))
def test_a_shift_is_measured_to_a_fraction_of_a_pixel(shift_px: float, seed: int) -> None:
    measured_px = image_shift_px(drawn(seed=seed), drawn(shift_px, seed=seed + 1000))
    assert measured_px is not None
    assert measured_px == pytest.approx(abs(shift_px), abs=0.2)


def test_the_fixed_pattern_of_lamp_and_optics_does_not_hide_a_shift() -> None:
    shading = np.linspace(0.4, 1.0, SIZE, dtype=np.float32)
    first, second = drawn() * shading, drawn(2.0, seed=1) * shading
    assert image_shift_px(first, second) == pytest.approx(2.0, abs=0.15)


def test_blank_frames_have_no_shift() -> None:
    rng = np.random.default_rng(1)
    blank = [rng.normal(3000.0, 25.0, (SIZE, SIZE)) for _ in range(2)]
    assert image_shift_px(*blank) is None


STILL = 0.1
MOVING = 3.0


def samples(*pairs: tuple[float, float]) -> list[Sample]:
    return [Sample(delay_ms, delay_ms + 1.0, shift_px, 0.0) for delay_ms, shift_px in pairs]


def test_the_settle_time_is_the_first_delay_from_which_all_stand_still() -> None:
    found = settle_time(
        samples((0, MOVING), (20, STILL), (40, MOVING), (80, STILL), (80, STILL), (160, STILL))
    )
    assert found is not None
    assert found.measured_ms == 81
    assert found.time_ms == 122


def test_one_restless_repeat_is_enough_to_wait_longer() -> None:
    found = settle_time(samples((20, STILL), (20, MOVING), (20, STILL), (60, STILL)))
    assert found is not None
    assert found.measured_ms == 61


def test_an_image_that_is_still_at_once_needs_no_wait() -> None:
    found = settle_time(samples((0, STILL), (20, STILL)))
    assert found is not None
    assert found.time_ms == 2


def test_an_image_that_never_rests_has_no_settle_time() -> None:
    assert settle_time(samples((0, STILL), (300, MOVING))) is None
    assert settle_time([]) is None


def test_a_change_of_contrast_is_motion_too() -> None:
    assert Sample(0.0, 0.0, 0.0, 0.01).still
    assert not Sample(0.0, 0.0, 0.0, 0.2).still


@dataclass
class Swinging:
    """A stage and a camera of one: the image swings on after each move, in x or in focus."""

    clock: ManualClock
    amplitude_px: float
    tau_ms: float
    axis: str = "x"
    blank: bool = False
    arrived_s: float = 0.0
    frames: int = 0
    moves: int = 0

    def move_to(
        self,
        x_um: float | None = None,
        y_um: float | None = None,
        z_um: float | None = None,
        cancel: Event | None = None,
    ) -> Position:
        if cancel is not None and cancel.is_set():
            raise Cancelled("The move")
        self.clock.advance(0.1)
        self.arrived_s = self.clock.monotonic_s()
        self.moves += 1
        return Position(x_um or 0.0, y_um or 0.0, z_um or 0.0)

    def take(self, field: Field) -> Any:
        self.frames += 1
        age_ms = 1000.0 * (self.clock.monotonic_s() - self.arrived_s)
        left_px = self.amplitude_px * math.exp(-age_ms / self.tau_ms)
        self.clock.advance(0.09)
        if self.blank:
            noise = np.random.default_rng(self.frames).normal(3000.0, 25.0, (SIZE, SIZE))
            return SimpleNamespace(pixels=noise)
        if self.axis == "x":
            return SimpleNamespace(pixels=drawn(left_px, seed=self.frames))
        return SimpleNamespace(pixels=drawn(blur_px=1.0 + left_px, seed=self.frames))


def meter(world: Swinging, cancel: Event | None = None) -> SettlingMeter:
    return SettlingMeter(
        cast(Any, world), cast(Imager, world), world.clock, cancel or Event(), repeats=2
    )


@pytest.mark.parametrize("tau_ms", [5.0, 20.0, 60.0])
def test_the_measured_time_is_when_the_image_stands_still(tau_ms: float) -> None:
    found = meter(Swinging(ManualClock(), 10.0, tau_ms)).measure_xy(FIELDS, 5000.0)
    truth_ms = tau_ms * math.log(10.0 / MAX_SHIFT_PX)
    next_ms = next(delay_ms for delay_ms in DELAYS_MS if delay_ms >= truth_ms)
    later_ms = next(delay_ms for delay_ms in (*DELAYS_MS, FINAL_MS) if delay_ms > next_ms)
    assert next_ms / 2 <= found.measured_ms <= later_ms
    assert found.time_ms == pytest.approx(1.5 * found.measured_ms, abs=1.0)
    assert len(found.samples) == 2 * len(DELAYS_MS)


def test_a_swing_of_the_focus_is_seen_by_the_contrast() -> None:
    world = Swinging(ManualClock(), 3.0, 30.0, axis="z")
    found = meter(world).measure_z(FIELDS, 5000.0, 0.5)
    assert 40.0 <= found.measured_ms <= 240.0
    assert world.moves == 2 * len(found.samples)


def test_fields_that_show_nothing_are_an_error() -> None:
    with pytest.raises(SettlingError) as caught:
        meter(Swinging(ManualClock(), 1.0, 10.0, blank=True)).measure_xy(FIELDS, 5000.0)
    assert caught.value.error_code == "SETTLING-EMPTY"


def test_an_instrument_that_never_rests_is_an_error() -> None:
    with pytest.raises(SettlingError) as caught:
        meter(Swinging(ManualClock(), 20.0, 400.0)).measure_xy(FIELDS, 5000.0)
    assert caught.value.error_code == "SETTLING-RESTLESS"


def test_cancel_ends_the_measurement() -> None:
    cancel = Event()
    cancel.set()
    with pytest.raises(Cancelled):
        meter(Swinging(ManualClock(), 1.0, 10.0), cancel).measure_xy(FIELDS, 5000.0)


@pytest.mark.slow
def test_the_swing_of_a_simulated_stage_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("thorlabs_apt_protocol", reason="the extra apt is not installed")
    monkeypatch.setattr("hal.sim.apt.axis.RINGING_TAU_S", 0.12)
    monkeypatch.setattr("hal.sim.apt.axis.RINGING_MM", 0.004)
    # Without the settled bit the driver reports arrival while the carriage still swings.
    config = HardwareConfig(
        camera=CameraConfig(width_px=320, height_px=256),
        stage=StageConfig(driver="apt"),
        apt=AptConfig(settled_bit_xy=False, window_xy_counts=40),
        simulation=SimulationConfig(speed=2.0),
    )
    clock = SystemClock(config.simulation.speed)
    hardware = build_hardware(config, clock)
    assert hardware.simulation is not None
    hardware.open()
    try:
        hardware.stage.home()
        imager = Imager(
            hardware.camera,
            hardware.light,
            SystemClock(),
            DoseLedger(DoseLimits(200), 6.3),
            checkpoint=lambda: None,
            lid_opened=lambda: None,
            retries=2,
            frame_timeout_ms=5000.0,
            warm_up_pause_s=30.0,
        )
        smear = hardware.simulation.smear
        z_um = smear.focus_z_um(FIELDS[0].x_um, FIELDS[0].y_um)
        delays_ms = (0.0, 30.0, 60.0, 120.0, 300.0, 700.0)
        measured = SettlingMeter(
            hardware.stage, imager, clock, Event(), delays_ms=delays_ms, repeats=2
        ).measure_xy(FIELDS, z_um)
    finally:
        hardware.close()
    # It swings on inside the window, for 120 ms x ln(4 / 0.041) = 550 ms to a quarter of a pixel;
    # frames of a busy machine come late, never early.
    moved_ms = [
        sample.asked_ms for sample in measured.samples if sample.shift_px > 2 * MAX_SHIFT_PX
    ]
    assert moved_ms
    assert measured.measured_ms > max(moved_ms)
    assert all(sample.still for sample in measured.samples if sample.delay_ms > 690.0)
