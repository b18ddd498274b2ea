"""The light that was given: life of the LEDs, doses of the samples.  None of it is lost."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from sqlite_utils import Database

from device.errors import RecordsLockedError
from device.records.failures import records_errors
from device.records.record_types import LedRecord
from hal.errors import LeukoluxError

log = logging.getLogger(__name__)

UNBOOKED_NAME: Final = "unbooked-light.jsonl"


@dataclass(frozen=True)
class LightEntry:
    """Light that was given since the last entry.

    Attributes:
        led: name of the LED.
        sample_id: the sample under it.
        exposures: their number.
        light_s: seconds of light.
        sample_j_per_cm2: sum of the doses of the sample's fields.
    """

    led: str
    sample_id: str
    exposures: int
    light_s: float
    sample_j_per_cm2: float


class LightRecords:
    """Part of :class:`device.records.records.Records`; methods may be called from any thread.

    What cannot be booked, because another program holds the database, is noted in a file next to
    it and booked with the next light.  If the power fails between the two, it is booked twice
    rather than not at all.

    Args:
        database: the file.
        transaction: of the only writer.
        stamp: wall-clock time as ISO 8601.
    """

    def __init__(
        self,
        database: Path,
        transaction: Callable[[], AbstractContextManager[Database]],
        stamp: Callable[[], str],
    ) -> None:
        self._database = database
        self._file = database.with_name(UNBOOKED_NAME)
        self._transaction = transaction
        self._stamp = stamp

    def add(self, entry: LightEntry) -> None:
        """Add to the life of the LED and to the dose of the sample.

        Raises:
            RecordsError: the disk or the database fails; the light is noted, if that can be done.
            LeukoluxError: what ended the wait for another program; the light is noted.
        """
        try:
            with self._transaction() as db:
                self._book(db, entry)
                for noted in unbooked(self._database):
                    self._book(db, noted)
        except LeukoluxError as error:
            log.warning("light is noted in %s and booked later: %s", self._file, error)
            self._note(entry)
            if not isinstance(error, RecordsLockedError):
                raise
        else:
            with records_errors(self._database):
                self._file.unlink(missing_ok=True)

    def judge(self, name: str, brightness_per_s: float, *, sound: bool) -> LedRecord:
        """Store the brightness of an LED; return its life so far.

        Args:
            name: of the LED.
            brightness_per_s: on blank glass, full scales per second.
            sound: whether later ones are compared with it, if there is no former one.

        Raises:
            RecordsError: it cannot be stored.
        """
        with self._transaction() as db:
            self._require_led(db, name)
            db.execute(
                "UPDATE leds SET last_brightness_per_s = ?1, "
                "first_brightness_per_s = coalesce(first_brightness_per_s, iif(?3, ?1, NULL)) "
                "WHERE name = ?2",
                [brightness_per_s, name, sound],
            )
            row = db.execute(
                "SELECT name, exposures, light_s, first_brightness_per_s, last_brightness_per_s "
                "FROM leds WHERE name = ?",
                [name],
            ).fetchone()
            return LedRecord(*row)

    def _book(self, db: Database, entry: LightEntry) -> None:
        self._require_led(db, entry.led)
        db.execute(
            "UPDATE leds SET exposures = exposures + ?, light_s = light_s + ?, last_utc = ? "
            "WHERE name = ?",
            [entry.exposures, entry.light_s, self._stamp(), entry.led],
        )
        db.execute(
            "INSERT INTO sample_doses (sample_id, exposures, j_per_cm2, last_utc) "
            "VALUES (?, ?, ?, ?) ON CONFLICT (sample_id) DO UPDATE SET "
            "exposures = exposures + excluded.exposures, "
            "j_per_cm2 = j_per_cm2 + excluded.j_per_cm2, last_utc = excluded.last_utc",
            [entry.sample_id, entry.exposures, entry.sample_j_per_cm2, self._stamp()],
        )

    def _note(self, entry: LightEntry) -> None:
        with records_errors(self._database), self._file.open("a", encoding="utf-8") as file:
            # On a line of its own, even if a power cut left half a line.
            file.write("\n" + json.dumps(asdict(entry)) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _require_led(self, db: Database, name: str) -> None:
        now = self._stamp()
        db.execute(
            "INSERT INTO leds (name, exposures, light_s, first_utc, last_utc) "
            "VALUES (?, 0, 0.0, ?, ?) ON CONFLICT (name) DO NOTHING",
            [name, now, now],
        )


def unbooked(database: Path) -> Iterator[LightEntry]:
    """Yield the light that was given and is not in the database.

    A line that the power cut short is left out.
    """
    try:
        lines = database.with_name(UNBOOKED_NAME).read_text("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return
    for line in filter(None, lines):
        try:
            yield LightEntry(**json.loads(line))
        except (ValueError, TypeError):
            log.warning("a line of %s cannot be read", UNBOOKED_NAME)
