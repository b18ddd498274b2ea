"""An order whose sender was told that it was refused never begins."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event as Signal
from typing import Any

import pytest
from small_instrument import TIMEOUT_S, SmallInstrument

from device.engine.state import orders
from device.engine.state.orders import Order, OrderSlot
from device.engine.state.requests import Requests
from device.engine.state.states import Event, State
from device.errors import RequestRefusedError
from hal.errors import InputError


class Slow:
    """Keeps the engine waiting in one call; the sender of an order gives up meanwhile."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.reached = Signal()
        self.let = Signal()
        wait: Callable[[Order[Any, Any], float], Any] = Order.wait

        def give_up(order: Order[Any, Any], timeout_s: float) -> Any:
            if self.let.is_set():
                return wait(order, timeout_s)
            assert self.reached.wait(TIMEOUT_S)
            return wait(order, 0.0)

        patch.setattr(Order, "wait", give_up)

    def hold(self) -> None:
        self.reached.set()
        assert self.let.wait(TIMEOUT_S)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    return Slow(monkeypatch)


def hold_before(patch: pytest.MonkeyPatch, owner: object, name: str, slow: Slow) -> None:
    """Hold the engine before it calls a method of ``owner``."""
    method = getattr(owner, name)

    def held(*arguments: Any) -> Any:
        slow.hold()
        return method(*arguments)

    patch.setattr(owner, name, held)


def test_the_next_start_goes_on_after_one_that_was_stored_too_late(
    rig: SmallInstrument, slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold_before(monkeypatch, rig.records, "begin_run", slow)
    rig.idle()
    with pytest.raises(RequestRefusedError, match="nothing was begun") as caught:
        rig.instrument.start("LATE-1")
    assert caught.value.error_code == "REQUEST-NOT-ANSWERED"
    slow.let.set()
    run_id = rig.instrument.start("NEXT-1")
    rig.wait_for(State.COMPLETE)
    assert rig.result(run_id)["sample_id"] == "NEXT-1"
    with rig.records.reader() as reader:
        assert [run.sample_id for run in reader.list_runs()] == ["NEXT-1"]


def test_a_start_that_nobody_waits_for_any_longer_gives_no_light_and_keeps_no_run(
    rig: SmallInstrument, slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_run = rig.records.begin_run

    def begin(*run: Any) -> int:
        *row, confirm = run

        def hold_and_confirm() -> None:
            slow.hold()
            confirm()

        return begin_run(*row, hold_and_confirm)

    monkeypatch.setattr(rig.records, "begin_run", begin)
    before = rig.idle()
    exposures = rig.camera.exposures
    edges = len(rig.world.gpio.edges(rig.settings.light.pin))
    with pytest.raises(RequestRefusedError):
        rig.instrument.start("LATE-1")
    slow.let.set()
    # The engine has gone on when it notices the lid.
    rig.world.set_lid(closed=False)
    status = rig.wait_until(
        lambda now: any(not c.met for c in now.start_conditions if c.name == "lid_closed")
    )
    assert (status.state, status.run_id) == (State.IDLE, None)
    assert status.waiting_sample == before.waiting_sample
    assert len(rig.world.gpio.edges(rig.settings.light.pin)) == edges
    assert rig.camera.exposures == exposures
    with rig.records.reader() as reader:
        assert reader.list_runs() == []


def test_an_order_is_either_withdrawn_or_accepted() -> None:
    late: Order[str, int] = Order("late")
    with pytest.raises(RequestRefusedError, match="nothing was begun"):
        late.wait(0.0)
    assert not late.accept()
    late.refuse(InputError("WEB-LOT-NAME"))
    taken: Order[str, int] = Order("taken")
    assert taken.accept()
    taken.begin(7)
    assert taken.wait(0.0) == 7


def test_an_order_that_is_refused_tells_its_sender_why() -> None:
    order: Order[str, int] = Order("refused")
    order.refuse(InputError("WEB-LOT-NAME"))
    with pytest.raises(InputError, match="lot"):
        order.wait(0.0)


def test_a_withdrawn_order_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders, "ANSWER_TIMEOUT_S", 0.0)
    slot: OrderSlot[str, None] = OrderSlot(Requests(), Event.CALIBRATE)
    with pytest.raises(RequestRefusedError):
        slot.ask("jog")
    assert slot.take() is None


def test_calibration_work_that_is_admitted_too_late_never_begins(
    rig: SmallInstrument, slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.idle()
    desk = rig.instrument.calibration
    desk.begin("Ann")
    hold_before(monkeypatch, rig.hardware.light, "acknowledge_lid", slow)
    with pytest.raises(RequestRefusedError, match="nothing was begun"):
        desk.jog(100.0, 0.0)
    with rig.instrument.events.subscribe(1000) as events:
        slow.let.set()
        run_id = rig.instrument.start("NEXT-1")
        rig.wait_for(State.COMPLETE)
        states = []
        while (event := events.next(0.0)) is not None:
            states.append(event.data.get("state"))
    assert State.CALIBRATING not in states
    assert rig.result(run_id)["sample_id"] == "NEXT-1"
