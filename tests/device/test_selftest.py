"""The self-test: every part that does not work is named, and nothing is lit or moved."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from device.engine.selftest import check_camera, check_light, check_stage, run_self_test
from device.errors import SelfTestError
from hal.camera import Frame, PixelFormat
from hal.errors import DeviceTimeoutError, StageError
from models.errors import ModelError
from models.providers import Execution, Provider


class Part:
    """A device that answers as the test wants."""

    def __init__(self, **answers: Any) -> None:
        self.is_on = False
        self.homed = False
        self.lid_closed = True
        self.level = 0.01
        self.error: Exception | None = None
        self.switched_off = False
        vars(self).update(answers)

    def off(self) -> None:
        self.switched_off = True

    def trigger(self) -> None: ...

    def wait_exposed(self) -> None: ...

    def read(self, timeout_ms: float) -> Frame:
        pixels = np.full((4, 4), round(4095 * self.level), np.uint16)
        return Frame(pixels, 0, 0, 5e4, 0.0, PixelFormat.MONO12, None)

    def position(self) -> None:
        if self.error is not None:
            raise self.error

    def check_writable(self) -> None:
        if self.error is not None:
            raise self.error


def not_homed() -> StageError:
    return StageError("The stage does not know its position.", remedy="Home it.")


def test_a_light_that_is_on_is_switched_off_and_reported() -> None:
    light = Part(is_on=True)
    with pytest.raises(SelfTestError) as caught:
        check_light(light)  # type: ignore[arg-type]
    assert caught.value.error_code == "SELF-TEST-LIGHT"
    assert light.switched_off


@pytest.mark.parametrize(
    ("level", "dark", "passes"),
    [
        (0.01, True, True),
        (0.30, True, False),
        (0.30, False, True),
    ],
)
def test_a_frame_without_light_must_be_dark_when_the_lid_is_closed(
    level: float, dark: bool, passes: bool
) -> None:
    camera: Any = Part(level=level)
    if passes:
        check_camera(camera, 100.0, dark=dark)
    else:
        with pytest.raises(SelfTestError, match="30 % of full scale"):
            check_camera(camera, 100.0, dark=dark)


def test_a_stage_that_has_not_homed_yet_passes_and_one_that_lost_its_place_does_not() -> None:
    fresh: Any = Part(error=not_homed())
    check_stage(fresh)
    lost: Any = Part(error=not_homed(), homed=True)
    with pytest.raises(StageError):
        check_stage(lost)


def test_a_silent_stage_does_not_pass() -> None:
    silent: Any = Part(error=DeviceTimeoutError("No answer.", remedy="Check the cable."))
    with pytest.raises(DeviceTimeoutError):
        check_stage(silent)


def test_every_worker_gets_its_own_networks_and_the_log_says_where_they_run(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    hardware: Any = SimpleNamespace(light=Part(), panel=Part(), camera=Part(), stage=Part())
    records: Any = Part()
    loaded: list[Any] = []

    def load() -> Any:
        loaded.append(SimpleNamespace(execution=Execution(Provider.CPU, ("CUDA not available",))))
        return loaded[-1]

    models = run_self_test(hardware, records, load, 3, 100.0)
    assert list(models) == loaded
    assert len(set(map(id, models))) == 3
    assert "networks run on CPU (3 threads x 1), CUDA not available" in caplog.messages


def test_networks_that_are_not_what_was_shipped_fail_the_self_test() -> None:
    hardware: Any = SimpleNamespace(light=Part(), panel=Part(), camera=Part(), stage=Part())
    records: Any = Part()

    def load() -> Any:
        raise ModelError("The hash differs.", remedy="Install again.")

    with pytest.raises(ModelError):
        run_self_test(hardware, records, load, 1, 100.0)
