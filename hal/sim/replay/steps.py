"""The stage's driver led through a recorded conversation, order by order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from hal.clock import Clock
from hal.errors import InputError, LeukoluxError
from hal.recorder.recording import TRANSCRIPT_WIRE, Recording, read_recording
from hal.sim.replay.apt_steps import step_through_apt
from hal.sim.replay.controller import Step, read_steps
from hal.sim.replay.dialects import AptDialect, dialect_of
from hal.sim.replay.emulator import ReplayEmulator
from hal.stage.grbl.controller import BOOT_TIMEOUT_S, Controller
from hal.stage.grbl.link import SerialLink
from hal.stage.serial_port import Deadline

HOMING_TIMEOUT_S = 120.0
ANSWER_TIMEOUT_S = 5.0


def step_through(path: Path, clock: Clock) -> Iterator[str]:
    """Give every recorded order to the real driver; yield a line on each outcome.

    Args:
        path: of a recording of a stage.
        clock: paces the answers.

    Raises:
        DeviceError: the library for APT controllers is not installed.
        InputError: the recording cannot be read, holds no conversation with a stage, or the driver
            does something else by itself; names the line.
    """
    recording = read_recording(path)
    entries = recording.of(TRANSCRIPT_WIRE)
    if not entries:
        raise InputError("REPLAY-NO-STAGE", path=path)
    dialect = dialect_of(b"".join(entry.what for entry in entries if entry.kind == "tx"))
    if isinstance(dialect, AptDialect):
        return step_through_apt(recording, clock)
    return _step_through_grbl(recording, read_steps(entries, dialect), clock)


def _step_through_grbl(recording: Recording, steps: Sequence[Step], clock: Clock) -> Iterator[str]:
    with ReplayEmulator(recording, clock) as replay:
        link = SerialLink(replay.ports[TRANSCRIPT_WIRE], 115200)
        controller = Controller(link, clock)
        try:
            for step in steps:
                outcome = _outcome(controller, link, clock, step)
                replay.check()
                yield f"line {step.line}: {_shown(step)}: {outcome}"
        finally:
            link.close()


def _outcome(controller: Controller, link: SerialLink, clock: Clock, step: Step) -> str:
    try:
        return _act(controller, link, clock, step)()
    except LeukoluxError as error:
        return str(error)


def _act(controller: Controller, link: SerialLink, clock: Clock, step: Step) -> Callable[[], str]:
    order = step.order
    if order is None:
        return lambda: _opened(link, clock)
    if order == b"$H\n":
        return lambda: _homed(controller)
    if order == b"\x18":
        return lambda: f"restarted, GRBL {controller.soft_reset()}"
    if not order.endswith(b"\n"):
        return lambda: _sent(controller, order)
    text = order.decode("latin-1").rstrip("\n")
    return lambda: ", ".join(
        ["ok", *(f"{reply}" for reply in controller.command(text, ANSWER_TIMEOUT_S))]
    )


def _opened(link: SerialLink, clock: Clock) -> str:
    """Open the port and return what the controller says by itself."""
    link.close()
    link.open()
    lines: list[str] = []
    deadline = Deadline(clock, BOOT_TIMEOUT_S)
    while (line := link.read_line(deadline)) is not None:
        lines.append(line)
    return " ".join(lines) or "silence"


def _homed(controller: Controller) -> str:
    controller.home(HOMING_TIMEOUT_S, None)
    return "homed"


def _sent(controller: Controller, order: bytes) -> str:
    controller.send_realtime(order)
    return f"sent; {controller.status().state}"


def _shown(step: Step) -> str:
    return "opened" if step.order is None else repr(step.order.decode("latin-1"))
