"""One exposure: light only while the camera exposes, within the dose, lost frames again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event as Signal

import numpy as np
import pytest

from device.errors import SampleRefusedError
from device.imaging.background import BLANK_ROW
from device.imaging.dose import DoseLedger, DoseLimits
from device.imaging.field import Field
from device.imaging.imager import DoseLimitError, Imager
from hal.clock import ManualClock
from hal.errors import Cancelled, FrameError, InterlockError, LightError
from hal.interfaces.camera import Frame, PixelFormat

FIELD = Field(3, 4, 0.0, 0.0)
KEY = (3, 4)
DARK_PAUSE_S = 30.0


class Rig:
    """A light and a camera that write down what happens, and fail when told to."""

    width_px = 2
    height_px = 2
    pixel_format = PixelFormat.MONO12
    max_pulse_ms = 150.0

    def __init__(self) -> None:
        self.log: list[str] = []
        self.failures: list[Exception | None] = []
        self.refusals: list[Exception | None] = []
        self.is_on = False
        self.in_the_dark = False
        self.on_time_s = 0.0

    @contextmanager
    def pulse(self, deadline_ms: float) -> Iterator[None]:
        refusal = self.refusals.pop(0) if self.refusals else None
        if refusal is not None:
            raise refusal
        self.is_on = True
        self.log.append("on")
        try:
            yield
        finally:
            self.is_on = False
            self.on_time_s += 0.05
            self.log.append("off")

    def trigger(self) -> None:
        assert self.is_on is not self.in_the_dark
        self.log.append("trigger")

    def wait_exposed(self, cancel: Signal | None = None) -> None:
        assert self.is_on is not self.in_the_dark

    def read(self, timeout_ms: float, cancel: Signal | None = None) -> Frame:
        assert not self.is_on
        self.log.append("read")
        failure = self.failures.pop(0) if self.failures else None
        if failure is not None:
            raise failure
        pixels = np.zeros((2, 2), np.uint16)
        return Frame(pixels, 0, 0, 50_000.0, 0.0, PixelFormat.MONO12, None)

    def open(self) -> None: ...

    def off(self) -> None: ...

    def close(self) -> None: ...

    def set_exposure(self, exposure_us: float) -> None: ...

    def set_gain(self, gain_db: float) -> None: ...


class Imaging:
    def __init__(
        self,
        checkpoint: Callable[[], None] = lambda: None,
        limits: DoseLimits = DoseLimits(16),  # noqa: B008 (frozen)
        former_j_per_cm2: float = 0.0,
    ) -> None:
        self.rig = Rig()
        self.clock = ManualClock()
        self.ledger = DoseLedger(limits, 6.3, former_j_per_cm2)
        self.held = 0
        self.imager = Imager(
            self.rig,
            self.rig,
            self.clock,
            self.ledger,
            checkpoint=checkpoint,
            lid_opened=self.hold,
            retries=2,
            frame_timeout_ms=2000.0,
            warm_up_pause_s=DARK_PAUSE_S,
        )

    def hold(self) -> None:
        self.held += 1

    def warm(self) -> Imaging:
        """Take the frame that is dropped while the LED is cold, and forget it."""
        self.imager.take(Field(0, 0, 0.0, 0.0))
        self.rig.log.clear()
        return self


def lost() -> FrameError:
    return FrameError("CAMERA-NOT-TRIGGERED")


def test_the_light_is_off_before_the_frame_is_read() -> None:
    setup = Imaging().warm()
    setup.imager.take(FIELD)
    assert setup.rig.log == ["on", "trigger", "off", "read"]


def test_the_frame_after_a_dark_pause_is_dropped() -> None:
    setup = Imaging()
    setup.imager.take(FIELD)
    assert setup.rig.log.count("read") == 2
    setup.imager.take(FIELD)
    assert setup.rig.log.count("read") == 3
    setup.clock.advance(DARK_PAUSE_S + 1.0)
    setup.imager.take(FIELD)
    assert setup.rig.log.count("read") == 5
    assert setup.ledger.exposures(KEY) == 5


def test_the_frame_after_a_long_pause_at_the_checkpoint_is_dropped_too() -> None:
    pauses = [0.0, DARK_PAUSE_S + 1.0]
    setup = Imaging(checkpoint=lambda: setup.clock.advance(pauses.pop(0)))
    setup.imager.take(FIELD)
    setup.rig.log.clear()
    setup.imager.take(FIELD)
    assert setup.rig.log.count("read") == 2


def test_a_dropped_frame_may_be_lost() -> None:
    setup = Imaging()
    setup.rig.failures = [lost(), None]
    setup.imager.take(FIELD)
    assert setup.ledger.exposures(KEY) == 2


def test_a_dark_frame_has_no_light_and_is_taken_again_when_lost() -> None:
    setup = Imaging()
    setup.rig.in_the_dark = True
    setup.rig.failures = [lost(), None]
    setup.imager.take_dark()
    assert setup.rig.log == ["trigger", "read", "trigger", "read"]
    assert setup.ledger.exposures(KEY) == 0


@pytest.mark.parametrize("failures", [1, 2])
def test_lost_frames_are_taken_again_and_their_light_is_counted(failures: int) -> None:
    setup = Imaging().warm()
    setup.rig.failures = [lost() for _ in range(failures)]
    setup.imager.take(FIELD)
    assert setup.ledger.exposures(KEY) == failures + 1
    assert setup.ledger.dose_mj_per_cm2(KEY) == pytest.approx(6.3 * 0.05 * (failures + 1))


def test_a_frame_that_stays_lost_is_an_error_after_the_retries() -> None:
    setup = Imaging().warm()
    setup.rig.failures = [lost() for _ in range(9)]
    with pytest.raises(FrameError):
        setup.imager.take(FIELD)
    assert setup.ledger.exposures(KEY) == 3


def test_frames_lost_before_count_as_tries() -> None:
    setup = Imaging().warm()
    setup.rig.failures = [lost() for _ in range(9)]
    with pytest.raises(FrameError):
        setup.imager.take(FIELD, lost=1)
    assert setup.ledger.exposures(KEY) == 2


def test_a_pulse_that_ended_early_is_given_again() -> None:
    setup = Imaging().warm()
    setup.rig.refusals = [LightError("LIGHT-DEADLINE"), None]
    setup.imager.take(FIELD)
    assert setup.rig.log.count("read") == 1


def test_an_open_lid_holds_and_then_repeats_without_using_up_a_try() -> None:
    setup = Imaging().warm()
    setup.rig.refusals = [InterlockError("LIGHT-INTERLOCK") for _ in range(5)]
    setup.imager.take(FIELD)
    assert setup.held == 5
    assert setup.ledger.exposures(KEY) == 1


def test_an_open_lid_that_ends_the_work_is_not_taken_for_a_lost_frame() -> None:
    passed: list[int] = []

    def checkpoint() -> None:
        passed.append(1)
        raise InterlockError("LIGHT-INTERLOCK")

    with pytest.raises(InterlockError):
        Imaging(checkpoint=checkpoint).imager.take(FIELD)
    assert len(passed) == 1


def test_a_field_gets_no_more_light_than_its_limit() -> None:
    setup = Imaging(limits=DoseLimits(2)).warm()
    setup.imager.take(FIELD)
    setup.imager.take(FIELD)
    with pytest.raises(DoseLimitError, match="2 exposures"):
        setup.imager.take(FIELD)
    assert setup.rig.log.count("on") == 2
    setup.imager.take(Field(3, 5, 0.0, 0.0))


def test_a_sample_that_had_its_light_gets_no_more_but_blank_glass_is_no_sample() -> None:
    setup = Imaging(limits=DoseLimits(16, sample_j_per_cm2=1.0), former_j_per_cm2=2.0)
    setup.imager.take(Field(BLANK_ROW, 1, 0.0, 0.0))
    with pytest.raises(SampleRefusedError, match=r"2\.00 J/cm2"):
        setup.imager.take(FIELD)
    assert setup.ledger.exposures(KEY) == 0


def test_a_cancelled_checkpoint_leaves_the_light_off() -> None:
    def checkpoint() -> None:
        raise Cancelled("The run")

    setup = Imaging(checkpoint=checkpoint)
    with pytest.raises(Cancelled):
        setup.imager.take(FIELD)
    assert setup.rig.log == []


def test_what_comes_after_the_exposure_happens_in_the_dark_before_the_readout() -> None:
    setup = Imaging().warm()
    setup.imager.take_once(FIELD, lambda: setup.rig.log.append("moving on"))
    assert setup.rig.log == ["on", "trigger", "off", "moving on", "read"]


def test_the_ledger_sums_the_sample_and_names_its_worst_field() -> None:
    ledger = DoseLedger(DoseLimits(4), irradiance_mw_per_cm2=10.0)
    for field, light_s in (((0, 0), 0.1), ((0, 1), 0.1), ((0, 1), 0.2)):
        ledger.add(field, light_s)
    summary = ledger.summary()
    assert summary["exposures"] == 3
    assert summary["light_s"] == pytest.approx(0.4)
    assert summary["max_field_mj_per_cm2"] == pytest.approx(3.0)
    assert ledger.remaining((0, 1)) == 2
    assert ledger.remaining((9, 9)) == 4
