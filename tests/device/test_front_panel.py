"""Button, lamp and buzzer of the instrument in a run: what a person at the panel can do and see."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from small_instrument import SmallInstrument, hold_analysis_at_first_tile, small_instrument

from device.engine.state.front_panel import FrontPanel
from device.engine.state.states import State
from device.errors import StartRefusedError
from device.records.record_types import RunState
from device.status import StopReason
from hal.errors import DeviceError
from hal.interfaces.panel import Lamp, Press, Sound


class FakePanel:
    """Gives presses as the test wants, and writes down what is shown and sounded."""

    def __init__(self) -> None:
        self.presses: list[Press] = []
        self.said: list[Lamp | Sound] = []
        self.ticks = 0
        self.broken = False
        self.lid_closed = True

    def open(self) -> None: ...

    def close(self) -> None: ...

    def tick(self) -> None:
        self.ticks += 1
        if self.broken:
            raise DeviceError("PANEL-CLOSED")

    def take_press(self) -> Press | None:
        return self.presses.pop(0) if self.presses else None

    def show(self, lamp: Lamp) -> None:
        self.said.append(lamp)

    def sound(self, sound: Sound) -> None:
        self.said.append(sound)


@pytest.fixture
def panel() -> FakePanel:
    return FakePanel()


@pytest.fixture
def front(panel: FakePanel) -> FrontPanel:
    return FrontPanel(panel)


def press(front: FrontPanel, panel: FakePanel, *presses: Press) -> None:
    panel.presses = list(presses)
    for _ in presses:
        front.poll()


def test_a_press_asks_for_a_start_once_and_clicks(front: FrontPanel, panel: FakePanel) -> None:
    press(front, panel, Press.SHORT)
    assert front.take_start()
    assert not front.take_start()
    assert panel.said == [Sound.CLICK]


def test_the_press_that_started_a_run_does_not_abort_it(
    front: FrontPanel, panel: FakePanel
) -> None:
    press(front, panel, Press.SHORT)
    assert front.take_start()
    press(front, panel, Press.LONG)
    assert not front.take_abort()
    press(front, panel, Press.SHORT, Press.LONG)
    assert front.take_abort()
    assert not front.take_abort()


def test_a_panel_that_fails_in_a_run_does_not_end_it(
    front: FrontPanel, panel: FakePanel, caplog: pytest.LogCaptureFixture
) -> None:
    panel.broken = True
    front.poll()
    front.poll()
    assert caplog.text.count("does not work") == 1
    panel.broken = False
    press(front, panel, Press.SHORT)
    assert front.take_start()


@pytest.mark.parametrize(
    ("state", "reason", "said"),
    [
        (State.IDLE, None, [Lamp.READY]),
        (State.SCANNING, None, [Lamp.BUSY]),
        (State.PAUSED, None, [Lamp.PAUSED]),
        (State.COMPLETE, StopReason.ENOUGH_CELLS, [Lamp.DONE, Sound.DONE]),
        (State.COMPLETE, StopReason.REFUSED, [Lamp.REFUSED, Sound.REFUSED]),
        (State.COMPLETE, StopReason.ABORTED, [Lamp.DONE]),
        (State.FAULT, None, [Lamp.FAULT, Sound.FAULT]),
        (State.SHUTTING_DOWN, None, [Lamp.OFF]),
    ],
)
def test_every_state_has_its_lamp_and_sound(
    front: FrontPanel,
    panel: FakePanel,
    state: State,
    reason: StopReason | None,
    said: list[Lamp | Sound],
) -> None:
    front.enter(state, reason)
    assert panel.said == said


@pytest.fixture
def short_hold(tmp_path: Path) -> Iterator[SmallInstrument]:
    with small_instrument(tmp_path, panel={"long_press_ms": 500.0, "buzzer_pin": 36}) as made:
        yield made


def test_a_long_press_aborts_the_run_and_keeps_what_was_counted(
    short_hold: SmallInstrument,
) -> None:
    rig = short_hold
    run_id = hold_analysis_at_first_tile(rig)
    rig.world.hold_start(down=True)
    rig.wait_for(State.ABORTING)
    rig.script.let.set()
    rig.wait_for(State.COMPLETE)
    assert rig.run(run_id).state == RunState.ABORTED
    assert rig.light_is_off()


def test_holding_the_button_that_started_the_run_does_not_abort_it(
    short_hold: SmallInstrument,
) -> None:
    rig = short_hold
    rig.idle()
    rig.instrument.sample.enter(sample_id="S-9")
    rig.world.hold_start(down=True)
    rig.wait_for(State.COMPLETE)
    run_id = rig.instrument.status().run_id
    assert run_id is not None
    assert rig.run(run_id).state == RunState.COMPLETE


def test_the_buzzer_says_that_a_start_is_refused(short_hold: SmallInstrument) -> None:
    rig = short_hold
    rig.idle()
    rig.instrument.sample.enter(draft_sample_id="WAR")
    with pytest.raises(StartRefusedError):
        rig.instrument.start()
    assert [edge.level for edge in rig.world.gpio.edges(36)][:1] == [1]


def test_lamps_are_dark_after_closing(short_hold: SmallInstrument) -> None:
    rig = short_hold
    rig.idle()
    pins = rig.settings.panel
    assert rig.world.gpio.level(pins.lamp_green_pin) == 1
    rig.instrument.close()
    for pin in (pins.lamp_green_pin, pins.lamp_amber_pin, pins.lamp_red_pin, pins.buzzer_pin):
        assert rig.world.gpio.level(pin) == 0
