"""Finding the focus with the microscope: stacks from below, within the dose of each field."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from device.imaging.dose import DoseLedger
from device.imaging.field import Field
from device.imaging.focus import FocusPoint, Miss, Peak, contrasts, find_common_peak
from device.imaging.imager import Imager
from device.imaging.moving import Mover
from device.settings.sections import ScanConfig

log = logging.getLogger(__name__)

COARSE_COUNT = 5
COARSE_MORE = 6
FINE_COUNT = 5
FINE_MORE = 2
"""Positions of a stack, and by how many it is extended towards a peak beyond its end."""

RESERVED_EXPOSURES = 1
"""Every field keeps the exposure of its own tile."""


@dataclass(frozen=True)
class Stack:
    """What a stack showed, and between which heights."""

    outcome: Peak | Miss
    lowest_um: float
    highest_um: float


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

        The fields are neighbours with practically the same focus: if one is empty, or has had
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
            if coarse:
                stack = self._coarse_stack(field, z_um)
                z_um = self._follow(stack, z_um, windows)
                coarse = not isinstance(stack.outcome, Peak)
            if not coarse and self._budget(field) >= FINE_COUNT:
                stack = self._fine_stack(field, z_um)
                if isinstance(stack.outcome, Peak):
                    return FocusPoint(field.x_um, field.y_um, stack.outcome.z_um)
                z_um = self._follow(stack, z_um, windows)
                coarse = True
        return None

    def refine(self, field: Field, guess_um: float) -> Peak | Miss:
        """Take a fine stack around ``guess_um``, extended a little if the peak lies beyond."""
        return self._fine_stack(field, guess_um).outcome

    def _coarse_stack(self, field: Field, centre_um: float) -> Stack:
        step_um = self._scan.focus_coarse_step_um
        return self._stack(field, centre_um, step_um, COARSE_COUNT, COARSE_MORE)

    def _fine_stack(self, field: Field, centre_um: float) -> Stack:
        return self._stack(field, centre_um, self._scan.focus_fine_step_um, FINE_COUNT, FINE_MORE)

    def _follow(self, stack: Stack, z_um: float, windows: Iterator[float]) -> float:
        """Return the centre of the next stack: the peak, or just beyond the end it rises to."""
        ahead_um = self._scan.focus_coarse_step_um * (COARSE_COUNT - 3) / 2
        match stack.outcome:
            case Peak() as peak:
                return peak.z_um
            case Miss.EMPTY:
                return next(windows, z_um)
            case Miss.ABOVE:
                return stack.highest_um + ahead_um
            case Miss.BELOW:
                return stack.lowest_um - ahead_um

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

    def _stack(
        self, field: Field, centre_um: float, step_um: float, count: int, more: int
    ) -> Stack:
        lowest_um = centre_um - (count - 1) / 2 * step_um
        if self._budget(field) < count:
            return Stack(Miss.EMPTY, lowest_um, lowest_um)
        most = count + min(more, self._budget(field) - count)
        self._mover.to(field.x_um, field.y_um, lowest_um)
        points = [self._measure(field, lowest_um + i * step_um) for i in range(count)]
        outcome = find_common_peak(*zip(*points, strict=True))
        while outcome in (Miss.ABOVE, Miss.BELOW) and len(points) < most:
            if outcome is Miss.ABOVE:
                points.append(self._measure(field, points[-1][0] + step_um))
            else:
                points.insert(0, self._measure(field, points[0][0] - step_um))
            outcome = find_common_peak(*zip(*points, strict=True))
        shown = [(z_um, float(blocks.mean())) for z_um, blocks in points]
        log.debug("stack at %s: %s: %s", field, shown, outcome)
        return Stack(outcome, points[0][0], points[-1][0])

    def _measure(self, field: Field, z_um: float) -> tuple[float, NDArray[np.float64]]:
        """Return the height the stage reports for ``z_um``, and the contrasts there."""
        position = self._mover.to_z(z_um)
        return position.z_um, contrasts(self._imager.take(field).pixels)
