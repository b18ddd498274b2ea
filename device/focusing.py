"""Finding the focus with the microscope: stacks from below, within the dose of each field."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from device.config import ScanConfig
from device.dose import DoseLedger
from device.focus import FocusPoint, Miss, Peak, contrast, find_peak
from device.imaging import Imager
from device.moving import Mover
from device.plan import Field

log = logging.getLogger(__name__)

COARSE_COUNT = 9
FINE_COUNT = 5
RESERVED_EXPOSURES = 1
"""Every field keeps the exposure of its own tile."""


class Focuser:
    """Searches the best focus by contrast."""

    def __init__(self, imager: Imager, mover: Mover, ledger: DoseLedger, scan: ScanConfig) -> None:
        self._imager = imager
        self._mover = mover
        self._ledger = ledger
        self._scan = scan

    def search(
        self, fields: Sequence[Field], guess_um: float, *, coarse: bool
    ) -> FocusPoint | None:
        """Find the focus in the first of ``fields`` that shows one.

        The fields are neighbours with practically the same focus: where one is empty, or has had
        its dose, or the focus is outside its stack, the next one takes over.

        Args:
            fields: a place and its neighbours, nearest first.
            guess_um: expected focus.
            coarse: whether to begin with a coarse stack; a fine one that misses continues with it.

        Returns:
            The focus, or None when no field shows one within ``scan.focus_range_um``.

        Raises:
            LeukoluxError: as the devices raise; FrameError when frames are lost for good.
        """
        windows = self._windows(guess_um)
        z_um = next(windows)
        for field in fields:
            outcome: Peak | Miss = Miss.EMPTY
            if coarse:
                outcome = self._stack(field, z_um, self._scan.focus_coarse_step_um, COARSE_COUNT)
                z_um = self._follow(outcome, z_um, windows)
                coarse = not isinstance(outcome, Peak)
            if not coarse and self._budget(field) >= FINE_COUNT:
                outcome = self.refine(field, z_um)
                if isinstance(outcome, Peak):
                    return FocusPoint(field.x_um, field.y_um, outcome.z_um)
                z_um = self._follow(outcome, z_um, windows)
                coarse = True
        return None

    def refine(self, field: Field, guess_um: float) -> Peak | Miss:
        """Take a fine stack around ``guess_um``, extended while the dose of the field allows."""
        return self._stack(field, guess_um, self._scan.focus_fine_step_um, FINE_COUNT)

    def _follow(self, outcome: Peak | Miss, z_um: float, windows: Iterator[float]) -> float:
        """Return the centre of the next stack."""
        half_um = self._scan.focus_coarse_step_um * (COARSE_COUNT - 1) / 2
        match outcome:
            case Peak():
                return outcome.z_um
            case Miss.EMPTY:
                return next(windows, z_um)
            case Miss.ABOVE:
                return z_um + half_um
            case Miss.BELOW:
                return z_um - half_um

    def _windows(self, guess_um: float) -> Iterator[float]:
        """Yield centres of coarse stacks that together cover the search range, nearest first."""
        half_um = self._scan.focus_coarse_step_um * (COARSE_COUNT - 1) / 2
        yield guess_um
        offset_um = 0.0
        while offset_um + half_um < self._scan.focus_range_um:
            offset_um = min(offset_um + 2 * half_um, self._scan.focus_range_um)
            yield guess_um + offset_um
            yield guess_um - offset_um

    def _budget(self, field: Field) -> int:
        return self._ledger.remaining((field.row, field.column)) - RESERVED_EXPOSURES

    def _stack(self, field: Field, centre_um: float, step_um: float, count: int) -> Peak | Miss:
        if self._budget(field) < count:
            return Miss.EMPTY
        half_um = (count - 1) / 2 * step_um
        self._mover.to(field.x_um, field.y_um, centre_um - half_um)
        stack = [self._measure(field, centre_um - half_um + i * step_um) for i in range(count)]
        outcome = find_peak(*zip(*stack, strict=True))
        while outcome in (Miss.ABOVE, Miss.BELOW) and self._budget(field) > 0:
            if outcome is Miss.ABOVE:
                stack.append(self._measure(field, stack[-1][0] + step_um))
            else:
                stack.insert(0, self._measure(field, stack[0][0] - step_um))
            outcome = find_peak(*zip(*stack, strict=True))
        log.debug("stack at %s: %s: %s", field, stack, outcome)
        return outcome

    def _measure(self, field: Field, z_um: float) -> tuple[float, float]:
        """Return the height the stage reports for ``z_um``, and the contrast there."""
        position = self._mover.to_z(z_um)
        return position.z_um, contrast(self._imager.take(field).pixels)
