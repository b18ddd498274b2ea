"""A run over a slide that lies askew: the focus map follows it."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_instrument import small_instrument

from device.acquisition.focus_map import FocusMap
from device.engine.state.states import State

DEPTH_OF_FIELD_UM = 1.04


@pytest.mark.slow
def test_the_tiles_are_in_focus_all_over_a_tilted_slide(tmp_path: Path) -> None:
    area = {"left_um": 36_000.0, "top_um": 43_000.0, "width_um": 1_500.0, "height_um": 500.0}
    with small_instrument(
        tmp_path,
        physics=True,
        **area,
        target_cells=60,
        focus_anchors=9,
        refocus_sharpness_ratio=0.1,
    ) as rig:
        run_id = rig.start()
        rig.wait_for(State.COMPLETE)
        smear = rig.world.smear
        tiles = rig.script.tiles
        for x_um, y_um, z_um in rig.camera.places_um[-len(tiles) :]:
            assert abs(z_um - smear.focus_z_um(x_um, y_um)) < DEPTH_OF_FIELD_UM
        with rig.records.reader() as reader:
            (note,) = [event.data for event in reader.events(run_id) if event.kind == "focus_map"]
    found = FocusMap(note["centre_um"], note["coefficients"], (), ())
    errors_um = [
        found.predict_z_um(x_um, y_um) - smear.focus_z_um(x_um, y_um)
        for x_um in (36_100.0, 36_750.0, 37_400.0)
        for y_um in (43_100.0, 43_250.0, 43_400.0)
    ]
    assert max(errors_um) - min(errors_um) < DEPTH_OF_FIELD_UM
