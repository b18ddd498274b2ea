"""The instrument with nothing replaced: virtual smear, serial protocol, networks, database."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from device.assembly import assembled
from device.engine.state.states import State
from device.laboratory.truth import compare_with_truth
from device.laboratory.virtual_scan import FOCUS_LEFT_UM
from device.settings.file import parse_settings
from hal.sim.optics.microscope import VirtualMicroscope


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("driver", "camera"),
    [
        ("grbl", {}),
        ("apt", {}),
        # A 40x objective before pixels of 2.74 um, binned by two.
        ("grbl", {"pixel_um": 0.137, "width_px": 1424, "height_px": 1424}),
    ],
)
def test_a_small_scan_finds_the_cells_that_are_there(
    tmp_path: Path, driver: str, camera: dict[str, float]
) -> None:
    if driver == "apt":
        pytest.importorskip("thorlabs_apt_protocol", reason="the extra apt is not installed")
    settings = parse_settings(
        {
            "stage": {"driver": driver},
            "camera": camera,
            "simulation": {"smear": "healthy:1234", "speed": 20.0},
            "scan": {
                "left_um": 34_000.0,
                "top_um": 43_000.0,
                "width_um": 1_500.0,
                "height_um": 1_200.0,
                "focus_anchors": 5,
                "target_cells": 12,
            },
            "records": {"directory": str(tmp_path)},
        }
    )
    with assembled(settings) as assembly:
        instrument = assembly.instrument
        instrument.wait_for(State.IDLE, timeout_s=60.0)
        run_id = instrument.start("WHOLE")
        status = instrument.wait_for(State.COMPLETE, State.FAULT, timeout_s=500.0)
        assert status.error is None
        world = assembly.hardware.simulation
        assert world is not None
        with assembly.records.reader() as reader:
            result = reader.result(run_id)
            truth = compare_with_truth(reader, run_id, world.microscope).as_dict()
            tiles = list(reader.every_tile(run_id))
    assert result is not None
    assert result["reason"] == "enough_cells"
    assert result["classified"] >= 12
    assert {"scout", "segmenter", "classifier", "software"} <= set(result["versions"])
    assert truth["found"] >= 0.9 * (truth["found"] + truth["missed"])
    assert all(tile.usable for tile in tiles)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_tiles_are_at_least_as_well_in_focus_as_those_of_the_evaluation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    defocus_um: dict[tuple[float, float], float] = {}
    render = VirtualMicroscope.render

    def noted(self: VirtualMicroscope, x_um: float, y_um: float, z_um: float, **light: float):  # type: ignore[no-untyped-def]
        # The last picture of a place is its tile.
        place = (round(x_um, -1), round(y_um, -1))
        defocus_um[place] = z_um - self.smear.focus_z_um(x_um, y_um)
        return render(self, x_um, y_um, z_um, **light)  # type: ignore[arg-type]

    monkeypatch.setattr(VirtualMicroscope, "render", noted)
    settings = parse_settings(
        {
            "simulation": {"smear": "healthy:1234", "speed": 20.0},
            "scan": {"target_cells": 15},
            "records": {"directory": str(tmp_path)},
        }
    )
    with assembled(settings) as assembly:
        assembly.instrument.wait_for(State.IDLE, timeout_s=60.0)
        run_id = assembly.instrument.start("FOCUS")
        assembly.instrument.wait_for(State.COMPLETE, State.FAULT, timeout_s=500.0)
        with assembly.records.reader() as reader:
            tiles = [tile for tile in reader.every_tile(run_id) if tile.usable]
    left_um = [
        value
        for (x_um, y_um), value in defocus_um.items()
        if any(math.hypot(tile.x_um - x_um, tile.y_um - y_um) < 20.0 for tile in tiles)
    ]
    assert len(left_um) > 10
    # One smear differs from the next by its tilt and bow.
    assert float(np.sqrt(np.mean(np.square(left_um)))) < 1.5 * math.hypot(*FOCUS_LEFT_UM)
