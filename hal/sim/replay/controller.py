"""A recorded conversation as the controller that once spoke it."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hal.errors import InputError
from hal.recorder.recording import Entry
from hal.sim.replay.dialects import Dialect, dialect_of

log = logging.getLogger(__name__)


@dataclass
class Step:
    """An order of the host, or its opening of the port, and what followed.

    Attributes:
        line: of the recording.
        t_s: when, in recorded seconds.
        order: what was sent; None for the opening.
        said: what came unasked, with the recorded seconds since the order.
        reports: answers to questions, with the same delays, by question.
    """

    line: int
    t_s: float
    order: bytes | None
    said: list[tuple[float, bytes]] = field(default_factory=list)
    reports: dict[Hashable, list[tuple[float, bytes]]] = field(default_factory=dict)


def read_steps(entries: Sequence[Entry], dialect: Dialect) -> list[Step]:
    """Return the conversation of one connection as steps; the first is an opening."""
    steps = [Step(entries[0].line, entries[0].t_s, None)]
    for entry in entries:
        if entry.kind == "open" and entry is not entries[0]:
            steps.append(Step(entry.line, entry.t_s, None))
        elif entry.kind == "tx":
            for message in dialect.sent(entry.what):
                if dialect.question(message) is None and not dialect.is_idle_talk(message):
                    steps.append(Step(entry.line, entry.t_s, message))
        elif entry.kind == "rx":
            step = steps[-1]
            for message in dialect.heard(entry.what):
                question = dialect.report(message)
                there = step.said if question is None else step.reports.setdefault(question, [])
                there.append((entry.t_s - step.t_s, message))
    return steps


class ReplayController:
    """:class:`~hal.sim.serial.pseudo_terminal.EmulatedController` that answers what was recorded.

    The host must give the recorded orders in their order.  What the controller said after each
    comes with its recorded delay; a question about the state gets the report that was the newest at
    that time after the order.  Whatever else is sent is a deviation, kept in :attr:`deviation`, and
    from then on the controller is silent until the port is opened again.  That begins the
    conversation again, or goes on to the next recorded opening when it is due.
    :attr:`deviated_s` is when it was.

    Args:
        path: of the recording, for messages.
        entries: of one connection.
        speed: seconds of the clock per recorded second.
    """

    def __init__(self, path: Path, entries: Sequence[Entry], speed: float) -> None:
        self._path = path
        self._speed = speed
        self._sent_before = b"".join(entry.what for entry in entries if entry.kind == "tx")
        self._steps = read_steps(entries, dialect_of(self._sent_before))
        self._dialect = dialect_of(self._sent_before)
        self._at = -1
        self._since_s = 0.0
        self._told = 0
        self._last: dict[Hashable, bytes] = {}
        self.deviation: InputError | None = None
        self.deviated_s = 0.0

    @property
    def steps_left(self) -> int:
        """Recorded orders that the host has not given yet."""
        return sum(step.order is not None for step in self._steps[self._at + 1 :])

    @property
    def has_work(self) -> bool:
        """Whether something will be said by itself."""
        return self._at >= 0 and self._told < len(self._steps[self._at].said)

    def connected(self, now_s: float) -> None:
        """A host has opened the port."""
        following = self._at + 1
        goes_on = following < len(self._steps) and self._steps[following].order is None
        self._begin(following if goes_on and self.deviation is None else 0, now_s)
        self._dialect = dialect_of(self._sent_before)
        self.deviation = None

    def powered_off(self, now_s: float) -> None:
        """The cable was pulled."""

    def exchange(self, data: bytes, now_s: float) -> list[bytes]:
        """Take bytes of the host and return what is due."""
        answers: list[bytes] = []
        for message in self._dialect.sent(data):
            if self.deviation is None and not self._dialect.is_idle_talk(message):
                answers += self._answer(message, now_s)
        return answers + (self._due(now_s) if self.deviation is None and self._at >= 0 else [])

    def _answer(self, message: bytes, now_s: float) -> list[bytes]:
        question = self._dialect.question(message)
        if question is not None:
            due = self._due(now_s)
            report = self._report(question, now_s)
            return due if report is None else [*due, report]
        expected = self._steps[self._at + 1] if self._at + 1 < len(self._steps) else None
        if expected is None or expected.order != message:
            self._deviate(message, expected)
            self.deviated_s = now_s
            return []
        # What was said before the order comes before the answers to it, early as it may be.
        rest = [said for _, said in self._steps[self._at].said[self._told :]]
        # The next question gets this answer, even if this host has not asked before.
        for question, reports in self._steps[self._at].reports.items():
            self._last[question] = reports[-1][1]
        self._begin(self._at + 1, now_s)
        return rest

    def _begin(self, at: int, now_s: float) -> None:
        self._at, self._since_s, self._told = at, now_s, 0

    def _elapsed_s(self, now_s: float) -> float:
        """Return recorded seconds since the present step began."""
        return (now_s - self._since_s) / self._speed

    def _due(self, now_s: float) -> list[bytes]:
        waiting = self._steps[self._at].said[self._told :]
        due = [said for delay_s, said in waiting if delay_s <= self._elapsed_s(now_s)]
        self._told += len(due)
        return due

    def _report(self, question: Hashable, now_s: float) -> bytes | None:
        reports = self._steps[self._at].reports.get(question, [])
        if reports:
            elapsed_s = self._elapsed_s(now_s)
            past = [report for delay_s, report in reports if delay_s <= elapsed_s]
            self._last[question] = past[-1] if past else reports[0][1]
        return self._last.get(question)

    def _deviate(self, message: bytes, expected: Step | None) -> None:
        path = self._path
        if expected is None:
            self.deviation = InputError("REPLAY-BEYOND-END", sent=message, path=path)
        elif expected.order is None:
            self.deviation = InputError(
                "REPLAY-BEFORE-OPENING", sent=message, path=path, line=expected.line
            )
        else:
            self.deviation = InputError(
                "REPLAY-DEVIATION",
                sent=message,
                path=path,
                line=expected.line,
                recorded=expected.order,
            )
        log.error("%s", self.deviation.cause)
