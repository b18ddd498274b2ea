"""The life of the LED and the dose of a sample, over runs, restarts and killed processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from small_instrument import SmallInstrument, small_instrument
from test_locked_records import other_program

from device.engine.state.states import State
from device.imaging.dose import DoseLedger, DoseLimits
from device.imaging.light_log import LightLog
from device.records.records import Records
from hal.config import LightConfig
from hal.errors import Cancelled, LedError

FIELD = (0, 0)


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    records = Records(tmp_path / "records.db")
    yield records
    records.close()


def open_log(
    records: Records, *, led: str = "1", notes: list[dict[str, Any]] | None = None
) -> tuple[LightLog, DoseLedger]:
    ledger = DoseLedger(DoseLimits(16), irradiance_mw_per_cm2=10.0)
    config = LightConfig(led=led, worn_fraction=0.5)

    def note(kind: str, data: dict[str, Any]) -> None:
        if notes is not None:
            notes.append(data)

    return LightLog(records, config, "S-1", ledger, note), ledger


def sample_dose(records: Records) -> float:
    with records.reader() as reader:
        return reader.sample_dose_j_per_cm2("S-1")


def life(records: Records, led: str = "1") -> tuple[int, float]:
    record = records.light.judge(led, 1.0, sound=False)
    return record.exposures, record.light_s


def test_light_of_all_runs_adds_up(records: Records) -> None:
    for _ in range(3):
        light_log, ledger = open_log(records)
        for _ in range(4):
            ledger.add(FIELD, 0.5)
            light_log.enter()
        light_log.enter_rest()
        light_log.enter_rest()
    assert life(records) == (12, pytest.approx(6.0))
    assert sample_dose(records) == pytest.approx(0.06)


def test_what_is_not_entered_yet_is_less_than_a_second_of_light(records: Records) -> None:
    light_log, ledger = open_log(records)
    for _ in range(33):
        ledger.add(FIELD, 0.1)
        light_log.enter()
    assert life(records)[1] > 3.3 - 1.0 - 0.1


def test_light_whose_entry_was_ended_while_it_waited_counts_once(tmp_path: Path) -> None:
    def end(_waited_s: float) -> None:
        raise Cancelled("The run")

    records = Records(tmp_path / "records.db", busy_timeout_s=0.0)
    light_log, ledger = open_log(records)
    with other_program(records.path) as program, records.writer.patience(end):
        ledger.add(FIELD, 2.0)
        program.lock()
        with pytest.raises(Cancelled):
            light_log.enter()
        program.release()
        light_log.enter_rest()
        assert sample_dose(records) == pytest.approx(0.02)
        ledger.add(FIELD, 1.0)
        light_log.enter()
    assert life(records) == (2, pytest.approx(3.0))
    assert sample_dose(records) == pytest.approx(0.03)
    records.close()


def test_a_new_led_begins_a_new_life(records: Records) -> None:
    light_log, ledger = open_log(records)
    ledger.add(FIELD, 2.0)
    light_log.enter()
    open_log(records, led="2")[0].judge(8.0, True)
    assert life(records, "2") == (0, 0.0)
    assert life(records)[0] == 1


def test_the_led_is_compared_with_its_first_brightness(records: Records) -> None:
    notes: list[dict[str, Any]] = []
    for brightness_per_s in (16.0, 12.0, 8.1):
        light_log, _ = open_log(records, notes=notes)
        light_log.judge(brightness_per_s, True)
    assert [note["share_of_first"] for note in notes] == pytest.approx([1.0, 0.75, 0.506], abs=1e-3)
    assert light_log.summary()["led_share_of_first"] == pytest.approx(0.506, abs=1e-3)


def test_a_worn_led_is_a_fault_that_says_so(records: Records) -> None:
    open_log(records)[0].judge(16.0, True)
    with pytest.raises(LedError, match="49 %") as caught:
        open_log(records)[0].judge(7.9, True)
    assert caught.value.error_code == "LIGHT-WORN"
    assert "light.led" in caught.value.remedy


def test_a_brightness_without_a_background_is_never_the_measure(records: Records) -> None:
    light_log, _ = open_log(records)
    light_log.judge(0.1, False)
    assert light_log.summary() == {}
    open_log(records)[0].judge(16.0, True)
    with pytest.raises(LedError):
        open_log(records)[0].judge(0.1, False)


def light_of(rig: SmallInstrument, run_id: int) -> dict[str, Any]:
    return dict(rig.result(run_id)["dose"])


def test_runs_of_one_sample_share_its_dose_and_runs_of_one_led_its_life(
    rig: SmallInstrument,
) -> None:
    first = rig.start("S-1")
    rig.wait_for(State.COMPLETE)
    rig.instrument.acknowledge()
    second = rig.start("S-1")
    rig.wait_for(State.COMPLETE)
    dose = light_of(rig, second)
    assert dose["sample_j_per_cm2"] > light_of(rig, first)["sample_j_per_cm2"] > 0
    assert dose["led_share_of_first"] == pytest.approx(1.0, abs=0.1)
    led = rig.records.light.judge("1", 1.0, sound=False)
    assert led.exposures == light_of(rig, first)["exposures"] + dose["exposures"]
    assert led.light_s == pytest.approx(light_of(rig, first)["light_s"] + dose["light_s"])


def test_a_worn_led_ends_the_run_in_fault_with_the_light_off(rig: SmallInstrument) -> None:
    rig.start("S-1")
    rig.wait_for(State.COMPLETE)
    rig.instrument.acknowledge()
    rig.scene.gain = 0.35
    rig.start("S-2")
    status = rig.wait_for(State.FAULT)
    assert status.error is not None
    assert status.error["code"] == "LIGHT-WORN"
    assert rig.light_is_off()


def test_a_sample_that_had_its_light_is_refused_with_what_was_counted(tmp_path: Path) -> None:
    light = {"irradiance_mw_per_cm2": 1000.0}
    limits = {"max_sample_j_per_cm2": 0.01, "max_field_mj_per_cm2": 10_000.0}
    with small_instrument(tmp_path, light=light, **limits) as rig:
        longest_pulse_j_per_cm2 = 1e-6 * 1000.0 * rig.hardware.light.max_pulse_ms
        run_id = rig.start()
        rig.wait_for(State.COMPLETE)
        result = rig.result(run_id)
        assert (result["reason"], result["refusal"]["code"]) == ("refused", "SAMPLE-DOSE")
        assert result["dose"]["sample_j_per_cm2"] <= 0.01 + longest_pulse_j_per_cm2
        rig.instrument.acknowledge()
        exposures = rig.camera.exposures
        second = rig.start()
        rig.wait_for(State.COMPLETE)
        assert rig.result(second)["refusal"]["code"] == "SAMPLE-DOSE"
        assert rig.camera.exposures - exposures < 20
