"""What people ask of the instrument: granted, or refused with the reason."""

from __future__ import annotations

import pytest
from small_instrument import SmallInstrument, hold_analysis_at_first_tile

from device.engine.state.states import State
from device.errors import RequestRefusedError, StartRefusedError
from hal.errors import InputError


def test_start_is_refused_with_every_reason(rig: SmallInstrument) -> None:
    rig.idle()
    rig.world.set_lid(closed=False)
    rig.wait_until(
        lambda status: any(not c.met for c in status.start_conditions if c.name == "lid_closed")
    )
    rig.instrument.sample.enter(draft_sample_id="")
    with pytest.raises(StartRefusedError) as caught:
        rig.instrument.start()
    assert [c.name for c in caught.value.conditions] == ["lid_closed", "sample_id"]
    assert "close it" in caught.value.remedy
    assert rig.instrument.status().state == State.IDLE


def test_start_during_a_run_is_refused(rig: SmallInstrument) -> None:
    hold_analysis_at_first_tile(rig)
    with pytest.raises(StartRefusedError) as caught:
        rig.instrument.start("S-2")
    assert [c.name for c in caught.value.conditions] == ["idle"]


@pytest.mark.parametrize("request_name", ["pause", "resume", "abort", "acknowledge"])
def test_requests_that_do_not_fit_are_refused_and_change_nothing(
    rig: SmallInstrument, request_name: str
) -> None:
    rig.idle()
    with pytest.raises(RequestRefusedError, match="not possible while the instrument is idle"):
        getattr(rig.instrument, request_name)()
    assert rig.instrument.status().state == State.IDLE


@pytest.mark.parametrize("sample_id", ["x" * 65, "a\nb", "a\x00"])
def test_a_sample_id_that_cannot_be_one_is_refused(rig: SmallInstrument, sample_id: str) -> None:
    rig.idle()
    with pytest.raises(InputError, match="sample id"):
        rig.instrument.start(sample_id)


def test_the_start_button_starts_the_sample_that_was_entered(rig: SmallInstrument) -> None:
    rig.idle()
    rig.instrument.sample.enter(sample_id=" S-9 ")
    rig.world.hold_start(down=True)
    status = rig.wait_until(lambda status: status.run_id is not None)
    rig.world.hold_start(down=False)
    assert status.sample_id == "S-9"
    rig.wait_for(State.COMPLETE)


def test_the_start_button_without_a_sample_says_why_nothing_happens(rig: SmallInstrument) -> None:
    rig.idle()
    rig.instrument.sample.enter(draft_sample_id="")
    rig.world.hold_start(down=True)
    status = rig.wait_until(lambda status: status.refusal is not None)
    assert status.refusal is not None
    assert "missing: sample id" in status.refusal["cause"]
    rig.world.hold_start(down=False)
    assert status.state == State.IDLE


def test_the_time_left_is_unknown_until_it_means_something(rig: SmallInstrument) -> None:
    hold_analysis_at_first_tile(rig)
    status = rig.wait_until(lambda status: status.tiles_acquired >= 3)
    assert status.remaining_s is None
    assert status.elapsed_s > 0


def test_the_latest_tile_is_a_picture_and_the_heart_beats(rig: SmallInstrument) -> None:
    assert rig.instrument.latest_tile_png() is None
    rig.start()
    rig.wait_for(State.COMPLETE)
    picture = rig.instrument.latest_tile_png()
    assert picture is not None
    assert picture.startswith(b"\x89PNG")
    assert rig.instrument.heartbeat_age_s < 5.0
