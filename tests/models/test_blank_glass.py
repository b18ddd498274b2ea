"""How bright blank glass is."""

from __future__ import annotations

import numpy as np
import pytest

from models.blank_glass import blank_transmission, bright_mode


def test_mode_is_the_bright_peak_even_when_cells_cover_most_of_the_field() -> None:
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.normal(0.75, 0.02, 9000), rng.normal(1.02, 0.01, 3000)])
    assert bright_mode(values.astype(np.float32), 1.6) == pytest.approx(1.02, abs=0.005)


def test_spread_out_values_have_no_mode() -> None:
    assert bright_mode(np.linspace(0, 1.6, 100_000).astype(np.float32), 1.6) is None


def test_few_bright_pixels_are_no_mode() -> None:
    values = np.concatenate([np.full(10_000, 0.7), np.full(100, 1.0)]).astype(np.float32)
    assert bright_mode(values, 1.6) == pytest.approx(0.7, abs=0.01)


def smear(blank: float, *, covered: float = 0.4) -> np.ndarray:
    rng = np.random.default_rng(2)
    image = rng.normal(blank, 0.01, (200, 200))
    image[: round(200 * covered)] = rng.normal(0.7 * blank, 0.03, (round(200 * covered), 200))
    return image.astype(np.float32)


@pytest.mark.parametrize("blank", [0.87, 0.96, 1.0, 1.13])
def test_drift_is_what_the_glass_between_cells_shows(blank: float) -> None:
    assert blank_transmission(smear(blank)) == pytest.approx(blank, abs=0.005)


def test_a_carpet_of_cells_is_no_drift() -> None:
    assert blank_transmission(smear(1.0, covered=1.0)) == 1.0
