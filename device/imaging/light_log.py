"""What the light given adds to the life of the LED and to the dose of the sample."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from device.imaging.dose import DoseLedger
from device.records.light import LightEntry
from device.records.records import Records
from hal.config import LightConfig
from hal.errors import LedError

log = logging.getLogger(__name__)

ENTER_S: Final = 1.0
"""Seconds of light after which the records are brought up to date; a killed process loses less."""


class LightLog:
    """Keeps the records of LED and sample up to date with a ledger.

    Args:
        records: where the lives of LEDs and the doses of samples are kept.
        config: which LED is fitted, and when it is worn.
        sample_id: under which the dose is kept.
        ledger: counts the light.
        note: stores what was found, as kind and data.
    """

    def __init__(
        self,
        records: Records,
        config: LightConfig,
        sample_id: str,
        ledger: DoseLedger,
        note: Callable[[str, dict[str, Any]], None],
    ) -> None:
        self._records = records
        self._config = config
        self._sample_id = sample_id
        self._ledger = ledger
        self._note = note
        self._exposures = 0
        self._light_s = 0.0
        self._j_per_cm2 = 0.0
        self._share: float | None = None

    def enter(self) -> None:
        """Enter the light since the last entry if it is :data:`ENTER_S`.  Raises RecordsError."""
        if self._ledger.light_s - self._light_s >= ENTER_S:
            self.enter_rest()

    def enter_rest(self) -> None:
        """Enter all light since the last entry.  Raises RecordsError."""
        ledger = self._ledger
        exposures, light_s = ledger.exposures_given, ledger.light_s
        run_j_per_cm2 = ledger.run_j_per_cm2
        if exposures == self._exposures:
            return
        entry = LightEntry(
            led=self._config.led,
            sample_id=self._sample_id,
            exposures=exposures - self._exposures,
            light_s=light_s - self._light_s,
            sample_j_per_cm2=run_j_per_cm2 - self._j_per_cm2,
        )
        # Before the records raise, they note the light: entered again, it would count twice.
        self._exposures, self._light_s, self._j_per_cm2 = exposures, light_s, run_j_per_cm2
        self._records.light.add(entry)

    def judge(self, brightness_per_s: float, sound: bool) -> None:
        """Compare the LED with its first brightness; exposures make up for what is missing.

        Args:
            brightness_per_s: full scales per second on blank glass, without gain.
            sound: whether it may become the first brightness, if there is no such record yet.

        Raises:
            LedError: the LED, or what lies between it and the camera, gives too little light.
            RecordsError: as the records raise.
        """
        record = self._records.light.judge(self._config.led, brightness_per_s, sound=sound)
        if not record.first_brightness_per_s:
            return
        self._share = brightness_per_s / record.first_brightness_per_s
        found = {
            "led": record.name,
            "light_h": record.light_s / 3600.0,
            "brightness_per_s": brightness_per_s,
            "share_of_first": self._share,
        }
        self._note("led", found)
        log.info("LED: %s", found)
        if self._share < self._config.worn_fraction:
            raise LedError(
                "LIGHT-WORN",
                led=record.name,
                share_percent=100.0 * self._share,
                light_h=record.light_s / 3600.0,
                needed_percent=100.0 * self._config.worn_fraction,
            )

    def summary(self) -> dict[str, float]:
        """Return the LED's share of its first brightness, if it was found."""
        return {} if self._share is None else {"led_share_of_first": self._share}
