"""The focus search: finds the focus where it is, within the dose, and says when there is none."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from device.imaging.dose import DoseLedger, DoseLimits
from device.imaging.field import Field
from device.imaging.focus import Peak
from device.imaging.focusing import RESERVED_EXPOSURES, Focuser
from device.settings.sections import ScanConfig
from hal.interfaces.camera import Frame, PixelFormat
from hal.interfaces.stage import Position

FIELDS = [Field(0, column, 200.0 * column, 0.0) for column in range(6)]
STEP_UM = 0.3125
MAX_EXPOSURES = 16


class Slide:
    """Stage and camera over a slide in focus at ``best_um``; some fields may be empty."""

    def __init__(self, best_um: float, empty: tuple[int, ...] = ()) -> None:
        self.best_um = best_um
        self.empty = empty
        self.z_um = 0.0
        self.ledger = DoseLedger(DoseLimits(MAX_EXPOSURES), 1.0)
        self.visited: list[tuple[int, float]] = []
        rng = np.random.default_rng(0)
        self.image = np.full((96, 128), 3000.0, np.float32)
        for x, y in rng.integers(10, 90, (12, 2)):
            cv2.circle(self.image, (int(x), int(y)), 8, 2000.0, -1)

    def to(self, x_um: float, y_um: float, z_um: float) -> Position:
        return self.to_z(z_um)

    def to_z(self, z_um: float) -> Position:
        self.z_um = round(z_um / STEP_UM) * STEP_UM
        return Position(0.0, 0.0, self.z_um)

    def take(self, field: Field) -> Frame:
        self.ledger.add((field.row, field.column), 0.05)
        self.visited.append((field.column, self.z_um))
        image = np.full_like(self.image, 3000.0)
        if field.column not in self.empty:
            sigma_px = float(np.hypot(0.8, 0.9 * (self.z_um - self.best_um)))
            image = np.asarray(cv2.GaussianBlur(self.image, (0, 0), sigma_px))
        return Frame(image.astype(np.uint16), 0, 0, 5e4, 0.0, PixelFormat.MONO12, None)

    def focuser(self) -> Focuser:
        return Focuser(self, self, self.ledger, ScanConfig())  # type: ignore[arg-type]

    def never_too_much(self) -> bool:
        return all(
            self.ledger.exposures((0, column)) <= MAX_EXPOSURES - RESERVED_EXPOSURES
            for column in range(6)
        )


@hypothesis_settings(max_examples=40)
@given(st.floats(-20.0, 20.0))
def test_a_coarse_search_finds_the_focus_within_the_dose(offset_um: float) -> None:
    slide = Slide(5000.0 + offset_um)
    point = slide.focuser().search(FIELDS, 5000.0, coarse=True)
    assert point is not None
    assert point.z_um == pytest.approx(slide.best_um, abs=0.25)
    assert slide.never_too_much()


@hypothesis_settings(max_examples=40)
@given(st.floats(-8.0, 8.0))
def test_a_fine_search_that_misses_goes_on_coarsely(offset_um: float) -> None:
    slide = Slide(5000.0 + offset_um)
    point = slide.focuser().search(FIELDS, 5000.0, coarse=False)
    assert point is not None
    assert point.z_um == pytest.approx(slide.best_um, abs=0.25)
    assert slide.never_too_much()


def test_a_good_guess_costs_one_fine_stack() -> None:
    slide = Slide(5000.3)
    slide.focuser().search(FIELDS, 5000.0, coarse=False)
    assert len(slide.visited) <= 7


def test_an_empty_field_hands_over_to_its_neighbour() -> None:
    slide = Slide(5000.0, empty=(0, 1))
    point = slide.focuser().search(FIELDS, 5000.0, coarse=True)
    assert point is not None
    assert point.x_um >= FIELDS[2].x_um


def test_nothing_to_focus_on_is_no_point() -> None:
    slide = Slide(5000.0, empty=tuple(range(6)))
    assert slide.focuser().search(FIELDS, 5000.0, coarse=True) is None
    assert slide.never_too_much()


def test_the_stack_goes_upwards() -> None:
    slide = Slide(5000.0)
    outcome = slide.focuser().refine(FIELDS[0], 5000.0)
    assert isinstance(outcome, Peak)
    heights_um = [z_um for _, z_um in slide.visited[:5]]
    assert heights_um == sorted(heights_um)
