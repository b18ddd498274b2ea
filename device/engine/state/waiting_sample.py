"""The sample that Start starts: what was entered, and what is still wrong with it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Final

from device.status import StartCondition
from hal.errors import InputError

MAX_NAME_LENGTH: Final = 64
HALF_ENTERED: Final = frozenset({"SAMPLE-ID-HALF-ENTERED", "OPERATOR-HALF-ENTERED"})
"""Codes of problems that entering the text, as it stands, removes."""

_SAMPLE_ID: Final = re.compile(rf"[A-Za-z0-9._-]{{1,{MAX_NAME_LENGTH}}}")


def check_sample_id(text: str) -> str:
    """Return the sample id without surrounding blanks.

    Raises:
        InputError: empty, longer than 64 characters, or with other characters than letters,
            digits, dot, dash and underscore.
    """
    sample_id = text.strip()
    if not _SAMPLE_ID.fullmatch(sample_id):
        raise InputError("INPUT-SAMPLE-ID", sample_id=_shortened(text), max_length=MAX_NAME_LENGTH)
    return sample_id


def check_operator(text: str) -> str:
    """Return the operator's name without surrounding blanks; it may be empty.

    Raises:
        InputError: longer than 64 characters, or with characters that cannot be printed.
    """
    operator = text.strip()
    if len(operator) > MAX_NAME_LENGTH or not operator.isprintable():
        raise InputError("INPUT-OPERATOR", name=_shortened(text), max_length=MAX_NAME_LENGTH)
    return operator


@dataclass(frozen=True)
class SampleProblem:
    """What keeps the waiting sample from being started.

    Attributes:
        name: what is wrong: ``sample_id``, ``control_lot`` or ``operator``.
        code: stable.
        explanation: what is wrong and what to do, for the person.
    """

    name: str
    code: str
    explanation: str


@dataclass(frozen=True)
class WaitingSample:
    """The one sample that Start starts, on the panel, the screen, the API and the command line.

    It judges itself.  Text that a person is still typing, or that was refused when it was
    entered, is a *draft*: every screen shows it in place of what was entered before, and the
    sample is not ready until the draft is entered, replaced or dropped.

    Attributes:
        sample_id: as entered or suggested, empty before that.
        control_lot: lot of the control slide that is loaded, None for a sample of a person.
        operator: who starts it, or empty.
        suggested: whether ``sample_id`` is a number that the instrument gave.
        lot_in_use: whether the last look-up found that lot in use.
        draft_sample_id: text that was not entered, or None.
        draft_operator: text that was not entered, or None.
        revision: increases with every change.
        problems: all that is wrong.
        ready: whether nothing is wrong.
    """

    sample_id: str = ""
    control_lot: int | None = None
    operator: str = ""
    suggested: bool = False
    lot_in_use: bool = True
    draft_sample_id: str | None = None
    draft_operator: str | None = None
    revision: int = 0
    problems: tuple[SampleProblem, ...] = field(init=False)
    ready: bool = field(init=False)

    def __post_init__(self) -> None:
        """Judge the sample."""
        found = (self._sample_id_problem(), self._lot_problem(), self._operator_problem())
        problems = tuple(problem for problem in found if problem is not None)
        object.__setattr__(self, "problems", problems)
        object.__setattr__(self, "ready", not problems)

    @property
    def conditions(self) -> tuple[StartCondition, ...]:
        """What must hold of the sample before Start."""
        wrong = {problem.name: problem.explanation for problem in self.problems}
        return tuple(
            StartCondition(name, name not in wrong, wrong.get(name, ""))
            for name in ("sample_id", "control_lot", "operator")
        )

    def without(self, started: WaitingSample) -> WaitingSample:
        """Return what waits after a start: nothing, unless a person entered another sample."""
        shown = (self.draft_sample_id, self.draft_operator)
        sample_id, operator = (
            entered if draft is None else draft.strip()
            for entered, draft in zip((self.sample_id, self.operator), shown, strict=True)
        )
        waits = (sample_id, operator, self.control_lot)
        if waits != (started.sample_id, started.operator, started.control_lot):
            if not self.suggested:
                return self
            # The number that was suggested is that of the run which has begun.
            return replace(self, sample_id="", suggested=False, revision=self.revision + 1)
        return WaitingSample(revision=self.revision + 1)

    def _sample_id_problem(self) -> SampleProblem | None:
        draft = self.draft_sample_id
        if draft == "" or (draft is None and not self.sample_id):
            return SampleProblem("sample_id", "SAMPLE-ID-MISSING", "Enter the id of the sample.")
        if draft is None:
            return None
        try:
            check_sample_id(draft)
        except InputError as error:
            return SampleProblem("sample_id", error.error_code, f"{error.cause} {error.remedy}")
        return SampleProblem(
            "sample_id",
            "SAMPLE-ID-HALF-ENTERED",
            f"The sample id {draft} is only half entered: finish it and press Enter.",
        )

    def _operator_problem(self) -> SampleProblem | None:
        draft = self.draft_operator
        if draft is None:
            return None
        try:
            check_operator(draft)
        except InputError as error:
            return SampleProblem("operator", error.error_code, f"{error.cause} {error.remedy}")
        return SampleProblem(
            "operator",
            "OPERATOR-HALF-ENTERED",
            "The operator is only half entered: finish the name and press Enter.",
        )

    def _lot_problem(self) -> SampleProblem | None:
        if self.control_lot is None or self.lot_in_use:
            return None
        return SampleProblem(
            "control_lot",
            "INPUT-LOT",
            f"There is no lot {self.control_lot} of control slides in use: choose the slide again.",
        )


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_NAME_LENGTH else f"{text[:MAX_NAME_LENGTH]}..."
