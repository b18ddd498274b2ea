"""Recordings of the real firmware: the emulator says the same, and the driver understands it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hal.clock import ManualClock
from hal.config import StageConfig
from hal.errors import DeviceError, LeukoluxError, StageAlarmError
from hal.sim.grbl.firmware import GrblFirmware
from hal.sim.grbl.motion import Mechanics
from hal.sim.grbl.settings import GrblSettings
from hal.sim.serial.trapezoid import Vector
from hal.stage.grbl import wire
from hal.stage.grbl.controller import Controller
from hal.stage.grbl.frame import StageFrame

FIXTURES = Path(__file__).parent.parent / "fixtures" / "grbl"
OVERFLOW = "13-rx-overflow"
TRANSCRIPTS = sorted(path.stem for path in FIXTURES.glob("*.jsonl"))
TRAVEL_MM = (100.0, 100.0, 20.0)
RECORDED_SETTINGS = {24: 60.0, 25: 1000.0, 26: 250.0}
# The serial line takes up to 10 ms each way, in which 25 mm/s are 0.25 mm; a stop adds its own.
TOLERANCE_MM = 0.45
TOLERANCE_MM_PER_MIN = 320.0


def events_of(name: str) -> list[dict[str, Any]]:
    text = (FIXTURES / f"{name}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def start_mm(events: list[dict[str, Any]]) -> Vector:
    truth = next((event["truth"] for event in events if "truth" in event), "pos 5000 7500 2500")
    x, y, z = (
        int(steps) / 250.0 - travel
        for steps, travel in zip(truth.split()[1:4], TRAVEL_MM, strict=True)
    )
    return (x, y, z)


def act_on_world(firmware: GrblFirmware, command: str, now_s: float) -> None:
    match command.split():
        case ["r"]:
            firmware.power_cycle(now_s)
        case ["lim", axis, "1"]:
            firmware.press_limit("XYZ"[int(axis)], now_s)
        case ["lim", _, "-1"]:
            firmware.fail_next_homing = 9
        case ["lim", axis, "0"]:
            firmware.release_limit("XYZ"[int(axis)])


def replay(name: str) -> list[str]:
    events = events_of(name)
    settings = dict(RECORDED_SETTINGS)
    if name.startswith("15"):
        settings[1] = 25.0
    if name.startswith("00"):
        settings |= {20: 0.0, 21: 0.0, 22: 0.0}
    still = Mechanics((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
    firmware = GrblFirmware(GrblSettings(settings), start_mm(events), still)
    if "tx" in next(event for event in events if event.keys() & {"tx", "rx"}):
        firmware.power_cycle(-1.0)
        firmware.advance(-0.5)
        firmware.take_lines()
    said: list[str] = []
    for event in events:
        firmware.advance(event["t"])
        if "tx" in event:
            firmware.receive(event["tx"].encode("latin-1"), event["t"])
        elif "world" in event:
            act_on_world(firmware, event["world"], event["t"])
        said += firmware.take_lines()
    firmware.advance(events[-1]["t"] + 1.0)
    return said + firmware.take_lines()


def same(recorded: str, emulated: str) -> bool:
    if recorded == emulated:
        return True
    theirs, ours = wire.parse_line(recorded), wire.parse_line(emulated)
    if not isinstance(theirs, wire.Status) or not isinstance(ours, wire.Status):
        return False
    near = all(
        abs(a - b) <= TOLERANCE_MM for a, b in zip(theirs.machine_mm, ours.machine_mm, strict=True)
    )
    their_feed, our_feed = (float(status.fields["FS"].split(",")[0]) for status in (theirs, ours))
    # At the very end of a motion one of the two may already have noticed.
    at_rest = their_feed == 0.0 and our_feed == 0.0
    return (
        (near and (theirs.state, theirs.substate) == (ours.state, ours.substate))
        or (near and at_rest)
    ) and (
        theirs.pins == ours.pins
        and theirs.fields.keys() == ours.fields.keys()
        and abs(their_feed - our_feed) <= TOLERANCE_MM_PER_MIN
    )


def test_every_recording_is_here() -> None:
    assert len(TRANSCRIPTS) == 20


@pytest.mark.parametrize("name", [name for name in TRANSCRIPTS if name != OVERFLOW])
def test_emulator_answers_as_the_firmware_did(name: str) -> None:
    recorded = [event["rx"] for event in events_of(name) if "rx" in event]
    emulated = replay(name)
    assert len(emulated) == len(recorded)
    differing = [pair for pair in zip(recorded, emulated, strict=True) if not same(*pair)]
    assert differing == []


def test_emulator_loses_lines_as_the_firmware_did() -> None:
    """Which bytes are lost depends on the processor's timing; that they are lost does not."""
    recorded = [event["rx"] for event in events_of(OVERFLOW) if "rx" in event]
    sent = next(e["tx"] for e in events_of(OVERFLOW) if "$J" in e.get("tx", "")).count("\n")
    for said in (recorded, replay(OVERFLOW)):
        jogs = said[said.index("ok") + 1 : -1]
        assert jogs[:15] == ["ok"] * 15
        assert len(jogs) < sent
        assert jogs.count("ok") < 0.6 * sent
        assert any(line.startswith("error:") for line in jogs)


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_every_recorded_line_is_understood(name: str) -> None:
    lines = [event["rx"] for event in events_of(name) if event.get("rx")]
    startup_blocks = {"$N0=", "$N1="}
    assert [
        line
        for line in lines
        if isinstance(wire.parse_line(line), wire.Damaged) and line not in startup_blocks
    ] == []


class RecordedLink:
    """Gives the recorded lines one after the other, whatever is written."""

    def __init__(self, lines: list[str]) -> None:
        self.lines = [line for line in lines if line]
        self.is_open = True

    def open(self) -> None:
        self.is_open = True

    def write(self, data: bytes) -> None:
        pass

    def take_line(self) -> str | None:
        return None

    def read_line(self, deadline: object, cancel: object = None) -> str | None:
        return self.lines.pop(0) if self.lines else None

    def close(self) -> None:
        self.is_open = False


def lines_after(name: str, sent: str) -> list[str]:
    events = events_of(name)
    first = next(i for i, event in enumerate(events) if event.get("tx") == sent)
    return [event["rx"] for event in events[first:] if "rx" in event]


@pytest.mark.parametrize(
    ("name", "alarm"),
    [
        ("06b-switch-held-at-home-alarm8", 8),
        ("07-home-fail-alarm9", 9),
        ("08-home-aborted-alarm6", 6),
    ],
)
def test_homing_that_says_alarm_and_then_ok_has_failed(name: str, alarm: int) -> None:
    link = RecordedLink(lines_after(name, "$H\n"))
    assert "ok" in link.lines
    controller = Controller(link, ManualClock())  # type: ignore[arg-type]
    with pytest.raises(StageAlarmError) as caught:
        controller.home(60.0, None)
    assert caught.value.error_code == f"STAGE-ALARM-{alarm}"
    assert caught.value.remedy
    assert not controller.position_known
    assert not any("Grbl" in line for line in link.lines), "the restart was not waited for"


def test_recorded_homing_succeeds() -> None:
    controller = Controller(RecordedLink(lines_after("02-home-ok", "$H\n")), ManualClock())  # type: ignore[arg-type]
    controller.home(60.0, None)
    assert controller.position_known


@dataclass(frozen=True)
class Told:
    """What the driver makes of the rest of a recording, from a line of the host on."""

    name: str
    sent: str
    ask: str
    code: str


ASKED: dict[str, Callable[[Controller], object]] = {
    "$": lambda controller: controller.command("$$"),
    "?": lambda controller: controller.status(),
    "jog": lambda controller: controller.command("$J=G90 G21 G53 X5 F1500"),
}


@pytest.mark.parametrize(
    "told",
    [
        Told("01-poweron-locked", "G0 X1\n", "jog", "STAGE-REFUSED-9"),
        Told("01-poweron-locked", "$J=G91 X1 F100\n", "jog", "STAGE-REFUSED-8"),
        Told("04-jog-out-of-range", "$J=G90 G21 G53 X5 F1500\n", "jog", "STAGE-REFUSED-15"),
        Told("05-soft-limit-alarm2", "G53 G0 X-150\n", "jog", "STAGE-ALARM-2"),
        Told("06-hard-limit-alarm1", "$J=G90 G21 G53 X-20 F1500\n", "jog ?", "STAGE-ALARM-1"),
        Told("11-soft-reset-in-motion-alarm3", "\x18", "?", "STAGE-ALARM-3"),
        Told("12-mcu-reset-in-motion", "$J=G90 G21 G53 X-20 F1500\n", "jog ?", "STAGE-REBOOTED"),
        Told("14-errors", "$J=X1\n", "jog", "STAGE-REFUSED-8"),
        Told("15-jog-state-rejects-gcode", "G0 X0\n", "jog", "STAGE-REFUSED-9"),
        # Here the recording ends before anybody resets, so the driver's reset stays unanswered.
        Told("18-check-mode", "G53 G0 X-150\n", "jog", "STAGE-MUTE"),
    ],
    ids=lambda told: f"{told.name}-{told.code}",
)
def test_driver_names_what_the_firmware_reported(told: Told) -> None:
    link = RecordedLink(lines_after(told.name, told.sent))
    controller = Controller(link, ManualClock())  # type: ignore[arg-type]
    controller.position_known = True
    *before, last = told.ask.split()
    for ask in before:
        ASKED[ask](controller)
    with pytest.raises(DeviceError) as caught:
        ASKED[last](controller)
    assert caught.value.error_code == told.code
    refused = told.code.startswith("STAGE-REFUSED")
    assert controller.position_known == refused


@pytest.mark.parametrize(
    ("name", "sent", "state"),
    [
        ("09-feed-hold-resume", "!", ("Hold", 1)),
        ("10-jog-cancel", "\x85", ("Jog", None)),
        ("16-door", "\x84", ("Door", 0)),
        ("17-sleep", "$SLP\n", ("Sleep", None)),
        ("18-check-mode", "$C\n", ("Check", None)),
    ],
)
def test_driver_reads_the_recorded_states(
    name: str, sent: str, state: tuple[str, int | None]
) -> None:
    controller = Controller(RecordedLink(lines_after(name, sent)), ManualClock())  # type: ignore[arg-type]
    status = controller.status()
    assert (status.state, status.substate) == state


def test_every_recorded_move_arrives_only_when_idle_and_at_the_target() -> None:
    """In the recorded jogs, no report before the last is taken for an arrival."""
    frame = StageFrame(StageConfig(steps_per_mm_xy=250.0, steps_per_mm_z=250.0))
    early = arrived = 0
    goal_mm = frame.origin_mm
    for event in events_of("03-jog-absolute"):
        sent, said = event.get("tx", ""), wire.parse_line(event.get("rx", ""))
        if sent.startswith("$J="):
            words = {word[0]: float(word[1:]) for word in sent.split() if word[0] in "XYZ"}
            x_mm, y_mm, z_mm = (
                words.get(axis, at) for axis, at in zip("XYZ", goal_mm, strict=True)
            )
            goal_mm = (x_mm, y_mm, z_mm)
        elif isinstance(said, wire.Status):
            at_goal = frame.is_at(said.machine_mm, goal_mm)
            arrived += said.state == "Idle" and at_goal
            early += said.state == "Idle" and not at_goal
    assert arrived >= 2
    assert early == 0


@pytest.mark.parametrize("name", TRANSCRIPTS)
def test_driver_survives_every_recording(name: str) -> None:
    lines = [event["rx"] for event in events_of(name) if "rx" in event]
    link = RecordedLink(lines)
    controller = Controller(link, ManualClock())  # type: ignore[arg-type]
    calls = [controller.connect, controller.status, lambda: controller.command("$$")]
    calls.append(lambda: controller.home(60.0, None))
    failures: list[LeukoluxError] = []
    still_trusted: list[bool] = []
    while link.lines:
        for call in calls:
            try:
                call()
            except LeukoluxError as error:
                failures.append(error)
                if isinstance(error, StageAlarmError):
                    still_trusted.append(controller.position_known)
    assert all(error.remedy for error in failures)
    assert not any(still_trusted)
