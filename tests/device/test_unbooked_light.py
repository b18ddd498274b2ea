"""Light that is given while another program holds the database: none of it is lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from small_instrument import SmallInstrument, small_instrument
from test_locked_records import SHORT_S, OtherProgram, other_program

from device.checks.report import Level
from device.engine.state.states import State
from device.records.light import UNBOOKED_NAME, LightEntry
from device.records.records import Records


@contextmanager
def a_check_that_waits(folder: Path) -> Iterator[tuple[SmallInstrument, OtherProgram]]:
    """Give an instrument whose check has given light, and the program that holds its records."""
    with (
        small_instrument(folder, busy_timeout_s=SHORT_S) as rig,
        other_program(rig.records.path) as program,
    ):
        rig.idle()
        rig.camera.at[rig.camera.exposures + 2] = program.lock
        rig.instrument.check(Level.DAILY)
        status = rig.wait_until(lambda now: now.error is not None)
        assert status.state == State.CHECKING
        assert status.error is not None
        assert status.error["code"] == "RECORDS-WAITING"
        yield rig, program


def pulses(rig: SmallInstrument) -> int:
    return len(rig.world.gpio.edges(rig.settings.light.pin)) // 2


def test_the_light_of_a_check_is_booked_whoever_holds_the_database(tmp_path: Path) -> None:
    with a_check_that_waits(tmp_path) as (rig, program):
        program.release()
        assert rig.idle().error is None
        assert rig.records.light.judge("1", 1.0, sound=False).exposures == pulses(rig)


@pytest.mark.slow
def test_an_abort_ends_a_check_that_waits_and_its_light_is_booked_later(tmp_path: Path) -> None:
    with a_check_that_waits(tmp_path) as (rig, program):
        rig.instrument.abort()
        assert rig.idle().error is None
        program.release()
        rig.records.light.add(LightEntry("1", "S", 1, 0.1, 0.1))
        assert rig.records.light.judge("1", 1.0, sound=False).exposures == pulses(rig) + 1


def test_light_that_nobody_could_book_counts_for_the_dose_and_is_booked_later(
    tmp_path: Path,
) -> None:
    records = Records(tmp_path / "records.db", busy_timeout_s=0.0)
    with other_program(records.path) as program, records.reader() as reader:
        program.lock()
        records.light.add(LightEntry("led", "S", 2, 1.0, 0.5))
        records.light.add(LightEntry("led", "S", 3, 1.0, 0.25))
        assert reader.sample_dose_j_per_cm2("S") == 0.75
        assert reader.sample_dose_j_per_cm2("T") == 0.0
        program.release()
        records.light.add(LightEntry("led", "T", 1, 1.0, 4.0))
        assert reader.sample_dose_j_per_cm2("S") == 0.75
        assert reader.sample_dose_j_per_cm2("T") == 4.0
    led = records.light.judge("led", 1.0, sound=False)
    assert (led.exposures, led.light_s) == (6, 3.0)
    records.close()


def test_a_note_of_light_that_the_power_cut_short_spoils_no_other(tmp_path: Path) -> None:
    records = Records(tmp_path / "records.db", busy_timeout_s=0.0)
    with other_program(records.path) as program:
        program.lock()
        records.light.add(LightEntry("led", "S", 2, 1.0, 0.5))
        with (tmp_path / UNBOOKED_NAME).open("a") as file:
            file.write('{"led": "led", "sam')
        records.light.add(LightEntry("led", "S", 4, 1.0, 0.5))
        program.release()
    records.light.add(LightEntry("led", "S", 1, 1.0, 0.5))
    assert records.light.judge("led", 1.0, sound=False).exposures == 7
    records.close()
