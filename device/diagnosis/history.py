"""What happened lately, from the records, without a word that somebody typed.

Nothing is crossed out here; what is not known to be harmless is never copied.  Numbers, times, and
words of the software's own vocabulary pass.  A sample is known by a number that means nothing
outside the archive.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from device.records.failures import records_errors
from device.records.record_types import RunState, TileState
from device.records.records import HISTORY_UNKNOWN
from device.status import StopReason

RUNS: Final = 50
EVENTS: Final = 500
LEFT_OUT: Final = "(text left out)"
EVENT_KINDS: Final = frozenset(
    {"failure", "lid_opened", "led", "tiles_not_kept", "self_test", HISTORY_UNKNOWN}
)
_CODE = re.compile(r"[A-Z][A-Z0-9]*(-[A-Z0-9]+)*")
_KEY = re.compile(r"[a-z][a-z0-9_]{0,40}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?([+-]\d\d:\d\d|Z)?")
_WORDS: Final = frozenset(
    {*(state.value for state in RunState), *(reason.value for reason in StopReason)}
)


def history(database: Path) -> dict[str, Any]:
    """Return the last runs and events and the lives of the LEDs; a note when there are no records.

    Raises:
        RecordsError: the database cannot be read.
    """
    if not database.exists():
        return {"note": "There are no records yet."}
    with records_errors(database):
        address = f"{database.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=5.0)) as connection:
            connection.row_factory = sqlite3.Row
            return {
                "runs": list(_runs(connection)),
                "events": list(_events(connection)),
                "leds": [
                    {"exposures": _number(row[0]), "light_s": _number(row[1])}
                    for row in connection.execute("SELECT exposures, light_s FROM leds")
                ],
            }


def _runs(connection: sqlite3.Connection) -> Iterator[dict[str, Any]]:
    samples: dict[str, int] = {}
    rows = connection.execute("SELECT * FROM runs ORDER BY id DESC LIMIT ?", [RUNS])
    for row in rows.fetchall():
        tiles = connection.execute(
            "SELECT state, count(*) FROM tiles WHERE run_id = ? GROUP BY state", [row["id"]]
        )
        yield {
            "id": row["id"],
            "sample": samples.setdefault(row["sample_id"], len(samples) + 1),
            "state": _word(row["state"]),
            "reason": _word(row["reason"]),
            "started_utc": _time(row["started_utc"]),
            "ended_utc": _time(row["ended_utc"]),
            "tiles_planned": _number(row["tiles_planned"]),
            "tiles": {state: n for state, n in tiles if state in {s.value for s in TileState}},
            "error": _harmless(_loaded(row["error"])),
        }


def _events(connection: sqlite3.Connection) -> Iterator[dict[str, Any]]:
    for row in connection.execute("SELECT * FROM events ORDER BY id DESC LIMIT ?", [EVENTS]):
        yield {
            "id": row["id"],
            "run_id": row["run_id"],
            "utc": _time(row["utc"]),
            "monotonic_s": _number(row["monotonic_s"]),
            "kind": row["kind"] if row["kind"] in EVENT_KINDS else LEFT_OUT,
            "data": _harmless(_loaded(row["data"])),
        }


def _loaded(text: str | None) -> Any:
    try:
        return json.loads(text) if text else None
    except ValueError:
        return LEFT_OUT


def _harmless(value: Any) -> Any:
    """Return numbers, lists and tables of them, and error codes; every other text is left out."""
    if isinstance(value, dict):
        return {
            key: _code(inner) if key == "code" else _harmless(inner)
            for key, inner in value.items()
            if _KEY.fullmatch(key)
        }
    if isinstance(value, list):
        return [_harmless(inner) for inner in value]
    return LEFT_OUT if isinstance(value, str) else value


def _code(value: Any) -> str:
    return value if isinstance(value, str) and _CODE.fullmatch(value) else LEFT_OUT


def _word(value: Any) -> str | None:
    return value if value is None or value in _WORDS else LEFT_OUT


def _time(value: Any) -> str | None:
    return value if value is None or _TIME.fullmatch(str(value)) else LEFT_OUT


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) else None
