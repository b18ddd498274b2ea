"""The writer's part for checks and controls: reports, lots, points and what people said."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from sqlite_utils import Database

from device.records.database import insert_row
from hal.errors import InputError


class QualityRecords:
    """Part of :class:`device.records.records.Records`; every method raises RecordsError.

    Args:
        transaction: of the only writer.
        stamp: wall-clock time as ISO 8601.
    """

    def __init__(
        self,
        transaction: Callable[[], AbstractContextManager[Database]],
        stamp: Callable[[], str],
    ) -> None:
        self._transaction = transaction
        self._stamp = stamp

    def add_check(
        self, operator: str, report: Mapping[str, Any], versions: Mapping[str, str]
    ) -> int:
        """Store the report of a check of the instrument; return its id."""
        row = {
            "utc": self._stamp(),
            "level": report["level"],
            "operator": operator,
            "verdict": report["verdict"],
            "versions": json.dumps(versions),
            "report": json.dumps(report),
        }
        with self._transaction() as db:
            return insert_row(db, "checks", row)

    def add_lot(
        self, name: str, level: str, targets: Mapping[str, Mapping[str, float]] | None
    ) -> int:
        """Store a lot of control slides; return its id.

        Args:
            name: of the lot.
            level: normal, low, ... as on its label.
            targets: mean and sd per analyte as on its label; None establishes them.

        Raises:
            InputError: there is an open lot of that name.
        """
        with self._transaction() as db:
            known = db.execute(
                "SELECT count(*) FROM control_lots WHERE name = ? AND closed_utc IS NULL", [name]
            ).fetchone()[0]
            if known:
                raise InputError("LOT-NAME-IN-USE", name=name)
            row = {
                "name": name,
                "level": level,
                "created_utc": self._stamp(),
                "source": "entered" if targets else "established",
                "targets": json.dumps(targets) if targets else None,
            }
            return insert_row(db, "control_lots", row)

    def close_lot(self, lot_id: int) -> None:
        """Mark a lot as used up; its points stay."""
        with self._transaction() as db:
            db.table("control_lots").update(lot_id, {"closed_utc": self._stamp()})

    def set_targets(self, lot_id: int, targets: Mapping[str, Mapping[str, float]]) -> None:
        """Store the targets that were established for a lot."""
        with self._transaction() as db:
            db.table("control_lots").update(lot_id, {"targets": json.dumps(targets)})

    def add_point(
        self,
        lot_id: int,
        run_id: int,
        values: Mapping[str, float],
        verdict: str,
        rules: Mapping[str, Sequence[str]],
    ) -> int:
        """Store the values of a control run with the verdict on them; return the id."""
        row = {
            "lot_id": lot_id,
            "run_id": run_id,
            "utc": self._stamp(),
            "values": json.dumps(values),
            "verdict": str(verdict),
            "rules": json.dumps(rules),
        }
        with self._transaction() as db:
            return insert_row(db, "control_points", row)

    def comment(self, point_id: int, operator: str, text: str) -> int:
        """Add what a person says about a point; return the id.  Nothing is overwritten."""
        row = {"point_id": point_id, "utc": self._stamp(), "operator": operator, "text": text}
        with self._transaction() as db:
            return insert_row(db, "control_comments", row)
