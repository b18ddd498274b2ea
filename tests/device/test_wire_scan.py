"""A whole scan with real drivers under everything: producer, serial line and GPIO are simulated."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from device.assembly import assembled, simulated_settings
from device.engine.state.states import State
from device.settings.file import Settings, changed_settings
from webui.cli.main import cli

# A loaded computer loses pulses and frames; that says nothing about the driver.
PATIENT = "[scan]\ntile_retries = 10\nmax_exposures_per_field = 100\n"
SCAN = ["scan", "--sim", "--speed", "20", "--target-cells", "12", "--smear", "healthy:42"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_scan_through_the_camera_driver_gives_the_differential_of_the_plain_one(
    gentl: None, tmp_path: Path
) -> None:
    settings = tmp_path / "leukolux.toml"
    settings.write_text(PATIENT, encoding="utf-8")
    documents = []
    for more in ([], ["--sim-wire"]):
        words = [*SCAN, "--settings", str(settings), "--json", "-", *more]
        result = CliRunner().invoke(cli, words, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        documents.append(json.loads(result.stdout))
    plain, wire = documents
    assert wire["state"] == "complete"
    assert wire["tiles"]["missing"] == 0
    assert wire["truth"]["missed"] <= plain["truth"]["missed"] + 1
    assert wire["truth"]["false_finds"] <= plain["truth"]["false_finds"] + 1
    for kind, share in plain["differential"].items():
        assert wire["differential"][kind]["n"] == pytest.approx(share["n"], abs=2)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_an_instrument_whose_camera_was_unplugged_works_again(gentl: None, tmp_path: Path) -> None:
    records = {
        "records__directory": str(tmp_path),
        "camera__width_px": 256,
        "camera__height_px": 192,
    }
    settings = changed_settings(simulated_settings(Settings(), wire=True, speed=20.0), **records)
    with assembled(settings) as assembly:
        instrument, world = assembly.instrument, assembly.hardware.simulation
        assert world is not None
        instrument.wait_for(State.IDLE, timeout_s=120.0)
        world.camera.unplug()
        instrument.start("S-1")
        instrument.wait_for(State.FAULT, timeout_s=120.0)
        assert instrument.error is not None
        assert instrument.error.error_code == "CAMERA-UNPLUGGED"
        world.camera.unplug(unplugged=False)
        instrument.acknowledge()
        instrument.wait_for(State.IDLE, timeout_s=120.0)


def test_the_wire_needs_the_simulation() -> None:
    result = CliRunner().invoke(cli, ["scan", "--sim-wire"])
    assert result.exit_code == 2
    assert "--sim" in result.output
