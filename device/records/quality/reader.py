"""The reader's part for checks and controls."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from typing import Final

from device.records.record_types import CheckRecord, LotRecord, PointRecord

MAX_PAGE: Final = 5000


def page_size(limit: int) -> int:
    """Return how many rows a page that asks for ``limit`` gets."""
    return max(1, min(limit, MAX_PAGE))


class QualityReader:
    """Part of :class:`device.records.reader.RecordsReader`."""

    def _query(self, sql: str, parameters: Sequence[object]) -> list[sqlite3.Row]:
        raise NotImplementedError

    def _one(self, sql: str, parameters: Sequence[object]) -> sqlite3.Row | None:
        raise NotImplementedError

    def checks(
        self, after: int = 0, limit: int = 50, newest_first: bool = False
    ) -> list[CheckRecord]:
        """Return the checks of the instrument after id ``after``; newest first, 0 starts there."""
        if newest_first:
            rows = self._query(
                "SELECT * FROM checks WHERE ? = 0 OR id < ? ORDER BY id DESC LIMIT ?",
                (after, after, page_size(limit)),
            )
        else:
            rows = self._query(
                "SELECT * FROM checks WHERE id > ? ORDER BY id LIMIT ?", (after, page_size(limit))
            )
        return [_check(row) for row in rows]

    def check(self, check_id: int) -> CheckRecord | None:
        """Return one check of the instrument."""
        row = self._one("SELECT * FROM checks WHERE id = ?", (check_id,))
        return _check(row) if row is not None else None

    def last_check(self, levels: Sequence[str]) -> CheckRecord | None:
        """Return the newest check of one of ``levels``."""
        marks = ", ".join("?" for _ in levels)
        row = self._one(
            f"SELECT * FROM checks WHERE level IN ({marks}) "  # noqa: S608 (question marks)
            "ORDER BY id DESC LIMIT 1",
            levels,
        )
        return _check(row) if row is not None else None

    def control_lots(self, *, open_only: bool = False) -> list[LotRecord]:
        """Return the lots of control slides, oldest first."""
        rows = self._query(
            "SELECT * FROM control_lots WHERE NOT ? OR closed_utc IS NULL ORDER BY id",
            (open_only,),
        )
        return [_lot(row) for row in rows]

    def control_lot(self, lot_id: int) -> LotRecord | None:
        """Return one lot of control slides."""
        row = self._one("SELECT * FROM control_lots WHERE id = ?", (lot_id,))
        return _lot(row) if row is not None else None

    def control_points(self, lot_id: int, after: int = 0, limit: int = 1000) -> list[PointRecord]:
        """Return the control runs of a lot in the order they ended."""
        rows = self._query(
            "SELECT * FROM control_points WHERE lot_id = ? AND id > ? ORDER BY id LIMIT ?",
            (lot_id, after, page_size(limit)),
        )
        return [self._point(row) for row in rows]

    def every_control_point(self, lot_id: int) -> Iterator[PointRecord]:
        """Yield all control runs of a lot."""
        after = 0
        while page := self.control_points(lot_id, after, MAX_PAGE):
            yield from page
            after = page[-1].id

    def control_point(self, point_id: int) -> PointRecord | None:
        """Return one control run."""
        row = self._one("SELECT * FROM control_points WHERE id = ?", (point_id,))
        return self._point(row) if row is not None else None

    def last_control_point(self, lot_id: int) -> PointRecord | None:
        """Return the newest control run of a lot."""
        row = self._one(
            "SELECT * FROM control_points WHERE lot_id = ? ORDER BY id DESC LIMIT 1", (lot_id,)
        )
        return self._point(row) if row is not None else None

    def _point(self, row: sqlite3.Row) -> PointRecord:
        comments = self._query(
            "SELECT utc, operator, text FROM control_comments WHERE point_id = ? ORDER BY id",
            (row["id"],),
        )
        return PointRecord(
            **{
                **dict(row),
                "values": json.loads(row["values"]),
                "rules": {name: tuple(found) for name, found in json.loads(row["rules"]).items()},
                "comments": tuple(dict(comment) for comment in comments),
            }
        )


def _check(row: sqlite3.Row) -> CheckRecord:
    return CheckRecord(
        **{
            **dict(row),
            "versions": json.loads(row["versions"]),
            "report": json.loads(row["report"]),
        }
    )


def _lot(row: sqlite3.Row) -> LotRecord:
    return LotRecord(
        **{**dict(row), "targets": json.loads(row["targets"]) if row["targets"] else None}
    )
