"""The emulated stage remembers where its slide was, for a camera that asks later."""

from __future__ import annotations

import pytest
from stage_rig import StageRig


def test_the_place_of_a_past_moment_is_that_before_the_move(rig: StageRig) -> None:
    rig.stage.move_to(3000.0, 2000.0, 1000.0)
    before_um = rig.emulator.true_position_um()
    moment_s = rig.clock.monotonic_s()
    rig.stage.move_to(4000.0, 2500.0, 1200.0)
    assert rig.emulator.true_position_um_at(moment_s) == pytest.approx(before_um, abs=0.01)
    now_s = rig.clock.monotonic_s()
    assert rig.emulator.true_position_um_at(now_s) == rig.emulator.true_position_um()
    assert rig.emulator.true_position_um() != pytest.approx(before_um, abs=100.0)
