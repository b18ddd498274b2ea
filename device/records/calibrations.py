"""Calibrations in the records: sessions, and every result of every step; none is replaced."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from device.records.database import insert_row
from device.records.writer import Writer


class CalibrationState(StrEnum):
    """What became of a measurement."""

    MEASURED = "measured"
    """Inside its limits; a person has not accepted it yet."""
    ACCEPTED = "accepted"
    """In use until it expires or a newer one is accepted."""
    REFUSED = "refused"
    """Outside its limits, or it failed: cause and remedy are stored."""
    SKIPPED = "skipped"
    """A person left the step out of this session."""


@dataclass(frozen=True)
class CalibrationSession:
    """One walk through the steps, over as soon as ``ended_utc`` is set.

    Attributes:
        steps: ids of the steps, in order.
        marks: places a person has marked, x and y in the stage frame, um.
    """

    id: int
    operator: str
    steps: tuple[str, ...]
    marks: Mapping[str, tuple[float, float]]
    begun_utc: str
    ended_utc: str | None


@dataclass(frozen=True)
class CalibrationRecord:
    """One result of one step.

    Attributes:
        utc: when it was measured, ISO 8601.
        quantities: name, value, uncertainty (95 %), unit, low and high of each.
        details: what the values rest on.
        refusal: code, cause and remedy of a refused one.
    """

    id: int
    session_id: int
    step: str
    state: CalibrationState
    utc: str
    operator: str
    software: str
    quantities: Sequence[Mapping[str, Any]]
    details: Mapping[str, Any]
    refusal: Mapping[str, str] | None

    def value(self, name: str) -> float | None:
        """Return the value of one quantity, or None."""
        return next((q["value"] for q in self.quantities if q["name"] == name), None)

    def as_dict(self) -> dict[str, Any]:
        """Return the record as JSON-compatible values."""
        return asdict(self)


class CalibrationStore:
    """Part of :class:`device.records.records.Records`, which raises RecordsError for it.

    Args:
        writer: of the database.
        now: wall-clock time.
    """

    def __init__(self, writer: Writer, now: Callable[[], datetime]) -> None:
        self._writer = writer
        self.now = now

    def begin(self, device: str, operator: str, steps: Sequence[str]) -> int:
        """End the open session, if any, and begin a new one; return its id."""
        with self._writer.transaction() as db:
            db.execute(
                "UPDATE calibration_sessions SET ended_utc = ? "
                "WHERE device = ? AND ended_utc IS NULL",
                [self._stamp(), device],
            )
            row = {
                "device": device,
                "operator": operator,
                "steps": json.dumps(list(steps)),
                "marks": "{}",
                "begun_utc": self._stamp(),
            }
            return insert_row(db, "calibration_sessions", row)

    def open_session(self, device: str) -> CalibrationSession | None:
        """Return the session that has begun and not ended, also by another process."""
        with self._writer.reading() as db:
            cursor = db.execute(
                "SELECT id, operator, steps, marks, begun_utc, ended_utc "
                "FROM calibration_sessions WHERE device = ? AND ended_utc IS NULL "
                "ORDER BY id DESC LIMIT 1",
                [device],
            )
            row = cursor.fetchone()
        if row is None:
            return None
        marks = {name: (x, y) for name, (x, y) in json.loads(row[3]).items()}
        return CalibrationSession(row[0], row[1], tuple(json.loads(row[2])), marks, row[4], row[5])

    def mark(self, session_id: int, marks: Mapping[str, tuple[float, float]]) -> None:
        """Store the marked places of a session."""
        with self._writer.transaction() as db:
            db.table("calibration_sessions").update(session_id, {"marks": json.dumps(marks)})

    def end(self, session_id: int) -> None:
        """End a session."""
        with self._writer.transaction() as db:
            db.table("calibration_sessions").update(session_id, {"ended_utc": self._stamp()})

    def add(
        self,
        session: CalibrationSession,
        device: str,
        step: str,
        state: CalibrationState,
        software: str,
        document: Mapping[str, Any],
    ) -> int:
        """Store one result; return its id."""
        with self._writer.transaction() as db:
            row = {
                "session_id": session.id,
                "device": device,
                "step": step,
                "state": state,
                "utc": self._stamp(),
                "operator": session.operator,
                "software": software,
                "document": json.dumps(document),
            }
            return insert_row(db, "calibrations", row)

    def accept(self, record_id: int) -> None:
        """Put a measured result to use."""
        with self._writer.transaction() as db:
            db.table("calibrations").update(record_id, {"state": CalibrationState.ACCEPTED})

    def of_session(self, session_id: int) -> dict[str, CalibrationRecord]:
        """Return the newest result of each step of a session."""
        found = self._query("session_id = ? ORDER BY id", [session_id])
        return {record.step: record for record in found}

    def newest_accepted(self, device: str) -> dict[str, CalibrationRecord]:
        """Return the accepted result that was measured last, of each step."""
        found = self._query(
            "device = ? AND state = ? ORDER BY id", [device, CalibrationState.ACCEPTED]
        )
        return {record.step: record for record in found}

    def left_out(self, device: str) -> frozenset[str]:
        """Return the steps that a person left out and that were not accepted since."""
        found = self._query(
            "device = ? AND state IN (?, ?) ORDER BY id",
            [device, CalibrationState.ACCEPTED, CalibrationState.SKIPPED],
        )
        newest = {record.step: record.state for record in found}
        return frozenset(s for s, state in newest.items() if state is CalibrationState.SKIPPED)

    def page(self, device: str, after: int, limit: int) -> list[CalibrationRecord]:
        """Return results after id ``after`` in the order they were measured."""
        return self._query("device = ? AND id > ? ORDER BY id LIMIT ?", [device, after, limit])

    def _query(self, where: str, values: Sequence[object]) -> list[CalibrationRecord]:
        with self._writer.reading() as db:
            rows = db.execute(
                "SELECT id, session_id, step, state, utc, operator, software, document "  # noqa: S608 (constants)
                f"FROM calibrations WHERE {where}",
                list(values),
            ).fetchall()
        return [_record(row) for row in rows]

    def _stamp(self) -> str:
        return self.now().isoformat(timespec="milliseconds")


def _record(row: Sequence[Any]) -> CalibrationRecord:
    document = json.loads(row[7]) if row[7] else {}
    return CalibrationRecord(
        id=row[0],
        session_id=row[1],
        step=row[2],
        state=CalibrationState(row[3]),
        utc=row[4],
        operator=row[5],
        software=row[6],
        quantities=document.get("quantities", []),
        details=document.get("details", {}),
        refusal=document.get("refusal"),
    )
