"""The waiting sample: what is entered and typed, and what Start makes of it."""

from __future__ import annotations

from threading import Barrier, Thread
from typing import Any

import pytest
from small_instrument import SmallInstrument, hold_analysis_at_first_tile

from device.engine.state.states import State
from device.engine.state.waiting_sample import WaitingSample
from device.errors import StartRefusedError
from device.status import Status
from device.system.events import EventKind
from hal.errors import InputError
from hal.interfaces.panel import Lamp, Sound


def press(rig: SmallInstrument) -> Status:
    """Press the panel's Start; return the status once it began a run or was refused."""
    rig.world.hold_start(down=True)
    status = rig.wait_until(lambda now: now.state != State.IDLE or now.refusal is not None)
    rig.world.hold_start(down=False)
    return status


def codes(sample: WaitingSample) -> list[str]:
    return [problem.code for problem in sample.problems]


def test_the_instrument_suggests_the_number_of_the_next_run(rig: SmallInstrument) -> None:
    sample = rig.idle().waiting_sample
    assert (sample.sample_id, sample.suggested, sample.ready) == ("S-0001", True, True)
    run_id = rig.instrument.start()
    rig.wait_for(State.COMPLETE)
    assert rig.run(run_id).sample_id == "S-0001"
    rig.instrument.acknowledge()
    assert rig.idle().waiting_sample.sample_id == "S-0002"


def test_a_suggestion_never_replaces_what_was_entered_or_is_typed(rig: SmallInstrument) -> None:
    rig.instrument.sample.enter(sample_id="WARD-7", operator="AB")
    assert rig.idle().waiting_sample.sample_id == "WARD-7"
    rig.instrument.sample.enter(draft_sample_id="WARD-8")
    rig.instrument.sample.suggest()
    sample = rig.instrument.sample.waiting
    assert (sample.sample_id, sample.draft_sample_id) == ("WARD-7", "WARD-8")


def test_the_panel_starts_with_the_chosen_lot_and_operator(rig: SmallInstrument) -> None:
    lot = rig.records.quality.add_lot("Q7", "normal", None)
    rig.idle()
    rig.instrument.sample.enter(sample_id="Q7-1", control_lot=lot, operator="Ann Bee")
    status = press(rig)
    assert status.run_id is not None
    assert (status.sample_id, status.operator) == ("Q7-1", "Ann Bee")
    rig.wait_for(State.COMPLETE)
    run, result = rig.run(status.run_id), rig.result(status.run_id)
    assert (run.sample_id, run.control_lot, run.operator) == ("Q7-1", lot, "Ann Bee")
    assert (result["control_lot"], result["operator"]) == (lot, "Ann Bee")


def test_a_start_uses_up_the_sample_with_lot_and_operator(rig: SmallInstrument) -> None:
    rig.idle()
    rig.instrument.sample.enter(sample_id="WARD-7", operator="AB")
    rig.instrument.start()
    sample = rig.instrument.status().waiting_sample
    assert (sample.sample_id, sample.operator, sample.ready) == ("", "", False)
    rig.wait_for(State.COMPLETE)


@pytest.mark.parametrize("change", [{"sample_id": "WARD-8"}, {"draft_sample_id": "WA"}], ids=str)
def test_what_is_entered_while_the_run_is_stored_is_not_passed_over(
    rig: SmallInstrument, change: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.idle()
    rig.instrument.sample.enter(sample_id="WARD-7")
    begin_run = rig.records.begin_run

    def begin(*run: Any) -> int:
        rig.instrument.sample.enter(**change)  # type: ignore[typeddict-item]
        return begin_run(*run)

    monkeypatch.setattr(rig.records, "begin_run", begin)
    status = press(rig)
    assert status.refusal is not None
    assert status.refusal["code"] == "START-SAMPLE-CHANGED"
    assert status.state == State.IDLE
    shown = status.waiting_sample
    assert (shown.draft_sample_id or shown.sample_id) == next(iter(change.values()))
    with rig.records.reader() as reader:
        assert reader.list_runs() == []


@pytest.mark.parametrize("by_panel", [True, False])
def test_a_lot_that_is_closed_while_the_run_is_stored_is_not_used(
    rig: SmallInstrument, by_panel: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    lot = rig.records.quality.add_lot("Q7", "normal", None)
    rig.idle()
    rig.instrument.sample.enter(sample_id="Q7-1", control_lot=lot)
    begin_run = rig.records.begin_run

    def begin(*run: Any) -> int:
        rig.records.quality.close_lot(lot)
        return begin_run(*run)

    monkeypatch.setattr(rig.records, "begin_run", begin)
    if by_panel:
        status = press(rig)
        assert status.refusal is not None
        assert status.refusal["code"] in {"INPUT-LOT", "START-SAMPLE-CHANGED"}
    else:
        with pytest.raises(InputError, match="no lot"):
            rig.instrument.start()
    with rig.records.reader() as reader:
        assert reader.list_runs() == []


def test_a_start_that_names_its_sample_leaves_another_one_waiting(rig: SmallInstrument) -> None:
    rig.idle()
    rig.instrument.sample.enter(sample_id="WARD-7", operator="AB")
    rig.instrument.start("OTHER")
    rig.wait_for(State.COMPLETE)
    rig.instrument.acknowledge()
    sample = rig.idle().waiting_sample
    assert (sample.sample_id, sample.operator, sample.ready) == ("WARD-7", "AB", True)


def test_a_lot_that_another_program_closed_is_not_ready(rig: SmallInstrument) -> None:
    lot = rig.records.quality.add_lot("Q7", "normal", None)
    rig.idle()
    rig.instrument.sample.enter(sample_id="Q7-1", control_lot=lot)
    rig.records.quality.close_lot(lot)
    status = rig.wait_until(lambda now: not now.waiting_sample.ready)
    assert codes(status.waiting_sample) == ["INPUT-LOT"]


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ({"draft_sample_id": "WARD-8"}, "SAMPLE-ID-HALF-ENTERED"),
        ({"draft_sample_id": ""}, "SAMPLE-ID-MISSING"),
        ({"draft_sample_id": "two words"}, "INPUT-SAMPLE-ID"),
        ({"draft_operator": "A"}, "OPERATOR-HALF-ENTERED"),
        ({"draft_operator": "A\nB"}, "INPUT-OPERATOR"),
    ],
)
def test_the_panel_does_not_start_what_is_half_typed(
    rig: SmallInstrument, typed: dict[str, str], code: str
) -> None:
    rig.idle()
    rig.instrument.sample.enter(sample_id="WARD-7")
    rig.instrument.sample.enter(**typed)  # type: ignore[typeddict-item]
    status = press(rig)
    assert codes(status.waiting_sample) == [code]
    assert status.refusal is not None
    assert status.waiting_sample.problems[0].explanation in status.refusal["remedy"]
    assert status.run_id is None
    rig.instrument.sample.enter(draft_sample_id=None, draft_operator=None)
    assert rig.run(rig.instrument.start()).sample_id == "WARD-7"


@pytest.mark.parametrize("sample_id", ["two words", "x" * 65, "a\x00", "", "Ähre"])
def test_a_refused_id_cannot_start_the_former_one(rig: SmallInstrument, sample_id: str) -> None:
    rig.idle()
    rig.instrument.sample.enter(sample_id="WARD-7")
    with pytest.raises(InputError) as caught:
        rig.instrument.sample.enter(sample_id=sample_id)
    assert caught.value.error_code == "INPUT-SAMPLE-ID"
    assert not rig.instrument.sample.waiting.ready
    with pytest.raises(StartRefusedError):
        rig.instrument.start()
    assert press(rig).run_id is None


def test_a_lot_that_is_not_in_use_keeps_the_sample_from_being_started_as_a_persons(
    rig: SmallInstrument,
) -> None:
    lot = rig.records.quality.add_lot("Q7", "normal", None)
    rig.idle()
    rig.instrument.sample.enter(sample_id="Q7-1", control_lot=lot)
    rig.records.quality.close_lot(lot)
    status = press(rig)
    assert status.refusal is not None
    assert codes(status.waiting_sample) == ["INPUT-LOT"]
    with pytest.raises(InputError, match="no lot 77"):
        rig.instrument.sample.enter(control_lot=77)
    assert rig.instrument.sample.waiting.control_lot == 77
    rig.instrument.sample.enter(control_lot=None)
    assert rig.instrument.sample.waiting.ready


def test_a_refused_press_lights_the_lamp_until_the_sample_changes(
    rig: SmallInstrument, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[Lamp | Sound] = []
    rig.idle()
    monkeypatch.setattr(rig.hardware.panel, "show", said.append)
    monkeypatch.setattr(rig.hardware.panel, "sound", said.append)
    rig.instrument.sample.enter(draft_sample_id="WAR")
    press(rig)
    rig.wait_until(lambda _: said[-1] is Lamp.REFUSED)
    assert said == [Sound.CLICK, Sound.REFUSED, Lamp.REFUSED]
    rig.instrument.sample.enter(sample_id="WARD-7")
    rig.wait_until(lambda _: said[-1] is Lamp.READY)
    assert rig.instrument.status().refusal is None


def test_the_waiting_sample_is_in_every_published_status(rig: SmallInstrument) -> None:
    rig.idle()
    with rig.instrument.events.subscribe() as events:
        rig.instrument.sample.enter(sample_id="WARD-7", operator="AB")
        rig.instrument.sample.enter(draft_operator="ABC")
        event = events.next(5.0)
        while event is not None and event.data["waiting_sample"]["ready"]:
            event = events.next(5.0)
    assert event is not None
    assert event.kind is EventKind.STATUS
    told = event.data["waiting_sample"]
    assert (told["sample_id"], told["operator"], told["draft_operator"]) == ("WARD-7", "AB", "ABC")
    assert told["ready"] is False
    assert [problem["code"] for problem in told["problems"]] == ["OPERATOR-HALF-ENTERED"]


def test_what_is_typed_after_an_entered_id_is_not_lost_with_it(rig: SmallInstrument) -> None:
    sample = rig.instrument.sample.enter(sample_id="WARD-7", draft_sample_id="WARD-8")
    assert (sample.sample_id, sample.draft_sample_id) == ("WARD-7", "WARD-8")
    assert codes(sample) == ["SAMPLE-ID-HALF-ENTERED"]
    assert rig.instrument.sample.enter(sample_id="WARD-8").draft_sample_id is None


def test_two_screens_that_type_at_once_leave_one_text_that_everybody_sees(
    rig: SmallInstrument,
) -> None:
    rig.idle()
    both = Barrier(2)

    def type_in(name: str) -> None:
        both.wait(5.0)
        for length in range(1, len(name) + 1):
            rig.instrument.sample.enter(draft_sample_id=name[:length])

    threads = [Thread(target=type_in, args=(name,)) for name in ("LEFT-SCREEN", "RIGHT-SCREEN")]
    before = rig.instrument.sample.waiting.revision
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10.0)
    sample = rig.instrument.sample.waiting
    assert sample.revision > before
    assert sample.draft_sample_id in ("LEFT-SCREEN", "RIGHT-SCREEN")
    # Whoever comes next sees why it is not ready, and ends it by entering anything.
    assert str(sample.draft_sample_id) in sample.problems[0].explanation
    rig.instrument.sample.enter(sample_id="WARD-7")
    assert rig.instrument.sample.waiting.ready


def test_a_sample_entered_during_a_run_waits_for_the_next(rig: SmallInstrument) -> None:
    hold_analysis_at_first_tile(rig)
    rig.instrument.sample.enter(sample_id="NEXT-1")
    rig.script.let.set()
    rig.wait_for(State.COMPLETE)
    rig.instrument.acknowledge()
    assert rig.idle().waiting_sample.sample_id == "NEXT-1"
