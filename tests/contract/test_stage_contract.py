"""What every stage driver promises."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from threading import Event, Thread

import pytest

from hal.clock import SystemClock
from hal.config import AptConfig, StageConfig
from hal.errors import Cancelled, DeviceClosedError, StageError, StageLimitError
from hal.interfaces.stage import Stage
from hal.sim.apt.emulator import AptEmulator
from hal.sim.grbl.emulator import GrblEmulator
from hal.stage.apt.driver import AptStage
from hal.stage.grbl.driver import GrblStage
from hal.stage.guarded import GuardedStage

CLOCK = SystemClock(100.0)
GRBL = StageConfig(travel_x_mm=20.0, travel_y_mm=20.0, travel_z_mm=6.0)
SLIDE = StageConfig(
    slide_left_um=5000.0,
    slide_top_um=5000.0,
    slide_width_um=10_000.0,
    slide_height_um=10_000.0,
    safe_z_um=1500.0,
)
APT = AptConfig(travel_x_mm=20.0, travel_y_mm=20.0, travel_z_mm=5.0)

Truth = Callable[[], tuple[float, float, float]]


class StageContract:
    """Subclasses give a closed ``stage`` and the ``truth`` of where its slide is, um."""

    @pytest.fixture
    def stage(self) -> Iterator[Stage]:
        raise NotImplementedError

    @pytest.fixture
    def truth(self) -> Truth:
        raise NotImplementedError

    @pytest.fixture
    def homed(self, stage: Stage) -> Stage:
        stage.open()
        stage.home()
        return stage

    def test_closed_after_construction(self, stage: Stage) -> None:
        assert not stage.homed
        for call in (stage.home, stage.position, lambda: stage.move_to(x_um=1000.0)):
            with pytest.raises(DeviceClosedError):
                call()

    def test_travel_is_known_before_opening_and_not_empty(self, stage: Stage) -> None:
        assert min(stage.travel.x_um, stage.travel.y_um, stage.travel.z_um) > 0.0

    def test_opening_does_not_move_and_does_not_home(self, stage: Stage, truth: Truth) -> None:
        before = truth()
        stage.open()
        assert not stage.homed
        assert truth() == before

    def test_open_twice_is_harmless(self, homed: Stage) -> None:
        homed.open()
        assert homed.homed

    def test_moving_without_homing_is_refused_and_nothing_moves(
        self, stage: Stage, truth: Truth
    ) -> None:
        stage.open()
        before = truth()
        with pytest.raises(StageError):
            stage.move_to(x_um=1000.0)
        assert truth() == before

    def test_homing_makes_the_position_known(self, homed: Stage, truth: Truth) -> None:
        assert homed.homed
        position = homed.position()
        assert (position.x_um, position.y_um, position.z_um) == pytest.approx(truth(), abs=10.0)

    def test_a_move_returns_at_rest_at_the_target(self, homed: Stage, truth: Truth) -> None:
        position = homed.move_to(3000.0, 2000.0, 1000.0)
        assert (position.x_um, position.y_um, position.z_um) == pytest.approx(
            (3000.0, 2000.0, 1000.0), abs=1.5
        )
        at_return = truth()
        assert at_return == pytest.approx((3000.0, 2000.0, 1000.0), abs=10.0)
        assert truth() == at_return

    def test_a_move_without_axes_goes_nowhere(self, homed: Stage) -> None:
        before = homed.move_to(3000.0, 2000.0, 1000.0)
        assert homed.move_to() == before

    @pytest.mark.parametrize("axis", ["x_um", "y_um", "z_um"])
    @pytest.mark.parametrize("side", ["below", "above"])
    def test_out_of_limits_is_refused_and_the_stage_stays_usable(
        self, homed: Stage, truth: Truth, axis: str, side: str
    ) -> None:
        homed.move_to(3000.0, 2000.0, 1000.0)
        before = truth()
        target = -1.0 if side == "below" else getattr(homed.travel, axis) + 1.0
        with pytest.raises(StageLimitError):
            homed.move_to(**{axis: target})
        assert truth() == before
        assert homed.homed
        homed.move_to(x_um=3100.0)

    def test_a_cancelled_move_raises_and_keeps_the_position(
        self, homed: Stage, truth: Truth
    ) -> None:
        cancel = Event()
        cancel.set()
        with pytest.raises(Cancelled):
            homed.move_to(x_um=homed.travel.x_um, cancel=cancel)
        assert homed.homed
        assert homed.position().x_um == pytest.approx(truth()[0], abs=10.0)

    def test_stop_is_harmless_in_every_state(self, stage: Stage) -> None:
        stage.stop()
        stage.open()
        stage.stop()
        stage.home()
        stage.stop()
        assert stage.homed
        stage.close()
        stage.stop()

    def test_close_twice_then_everything_raises(self, homed: Stage) -> None:
        homed.close()
        homed.close()
        assert not homed.homed
        with pytest.raises(DeviceClosedError):
            homed.move_to(x_um=1000.0)

    def test_reopened_it_must_be_homed_again(self, homed: Stage) -> None:
        homed.close()
        homed.open()
        assert not homed.homed
        with pytest.raises(StageError):
            homed.move_to(x_um=1000.0)
        homed.home()
        homed.move_to(x_um=1000.0)


class GuardedStageContract(StageContract):
    """What a driver promises inside its guard, as the instrument uses it."""

    def test_small_steps_of_focus_in_either_direction_keep_backlash_a_constant(
        self, homed: Stage, truth: Truth
    ) -> None:
        heights_um = [1000.0 - 0.5 * i for i in range(8)] + [996.5 + 0.5 * i for i in range(8)]
        offsets_um = [homed.move_to(z_um=z_um).z_um - truth()[2] for z_um in heights_um]
        assert max(offsets_um) - min(offsets_um) < 0.75

    def test_beside_the_slide_the_objective_does_not_come_down(
        self, homed: Stage, truth: Truth
    ) -> None:
        homed.move_to(3000.0, 2000.0, 1000.0)
        before = truth()
        with pytest.raises(StageLimitError) as caught:
            homed.move_to(3000.0, 2000.0, 4000.0)
        assert caught.value.error_code == "STAGE-OFF-SLIDE"
        assert truth() == before

    def test_on_no_way_is_the_objective_down_beside_the_slide(
        self, homed: Stage, truth: Truth
    ) -> None:
        draw = random.Random(7)
        done = Event()
        seen: list[tuple[float, float, float]] = []

        def watch() -> None:
            while not done.wait(0.0005):
                seen.append(truth())

        watcher = Thread(target=watch)
        watcher.start()
        arrived = 0
        try:
            for _ in range(24):
                target = [draw.uniform(0.0, 19_000.0) for _ in range(2)]
                z_um = draw.choice([0.0, 1000.0, 2500.0, 4500.0])
                with contextlib.suppress(StageLimitError):
                    homed.move_to(*target, z_um)
                    arrived += 1
        finally:
            done.set()
            watcher.join()
        low, high = SLIDE.slide_left_um - 10.0, SLIDE.slide_left_um + SLIDE.slide_width_um + 10.0
        down = [place for place in seen if place[2] > SLIDE.safe_z_um + 10.0]
        assert arrived >= 10
        assert down
        assert [place for place in down if not all(low <= at <= high for at in place[:2])] == []


class GrblRig:
    @pytest.fixture
    def emulator(self) -> Iterator[GrblEmulator]:
        emulator = GrblEmulator(GRBL, CLOCK, start_um=(4000.0, 3000.0, 2000.0))
        yield emulator
        emulator.close()

    @pytest.fixture
    def driver(self, emulator: GrblEmulator) -> Stage:
        return GrblStage(GRBL.model_copy(update={"port": emulator.port}), CLOCK)

    @pytest.fixture
    def truth(self, emulator: GrblEmulator) -> Truth:
        return emulator.true_position_um


class AptRig:
    @pytest.fixture
    def emulator(self) -> Iterator[AptEmulator]:
        pytest.importorskip("thorlabs_apt_protocol", reason="the extra apt is not installed")
        emulator = AptEmulator(APT, CLOCK, start_um=(4000.0, 3000.0, 2000.0))
        yield emulator
        emulator.close()

    @pytest.fixture
    def driver(self, emulator: AptEmulator) -> Stage:
        config = StageConfig(driver="apt", port=emulator.port)
        return AptStage(config, APT.model_copy(update={"port_z": emulator.port_z}), CLOCK)

    @pytest.fixture
    def truth(self, emulator: AptEmulator) -> Truth:
        return emulator.true_position_um


class Bare:
    @pytest.fixture
    def stage(self, driver: Stage) -> Iterator[Stage]:
        yield driver
        driver.close()


class Guarded:
    @pytest.fixture
    def stage(self, driver: Stage) -> Iterator[Stage]:
        stage = GuardedStage(driver, SLIDE)
        yield stage
        stage.close()


class TestGrblStage(GrblRig, Bare, StageContract):
    pass


class TestGuardedGrblStage(GrblRig, Guarded, GuardedStageContract):
    pass


class TestAptStage(AptRig, Bare, StageContract):
    pass


class TestGuardedAptStage(AptRig, Guarded, GuardedStageContract):
    pass
