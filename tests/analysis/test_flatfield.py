import numpy as np
import pytest
from drawn_smear import BLANK_COUNTS, TILE_SHAPE, blank_background
from hypothesis import given
from hypothesis import strategies as st

from device.analysis.flatfield import Background, flat_field, saturated_fraction
from hal.errors import InputError


def uneven(shape=TILE_SHAPE):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return (3000 - 2.0 * np.hypot(x - shape[1] / 2, y - shape[0] / 2)).astype(np.float32)


def with_cell(transmission, mean, dark=0.0):
    truth = np.ones(mean.shape)
    truth[100:200, 100:200] = transmission
    return np.rint(truth * (mean - dark) + dark).astype(np.uint16)


def test_blank_glass_is_220_and_a_cell_its_transmission():
    mean = uneven()
    image = flat_field(with_cell(0.5, mean), Background(mean, 4095))
    assert image.dtype == np.uint8
    assert np.ptp(image[:90]) <= 1
    assert float(image[150, 150]) == pytest.approx(110, abs=1)
    assert float(image[10, 10]) == pytest.approx(220, abs=1)


def test_dark_level_is_taken_off_both():
    mean = uneven() + 200
    image = flat_field(with_cell(0.25, mean, dark=200.0), Background(mean, 4095, dark_level=200.0))
    assert float(image[150, 150]) == pytest.approx(55, abs=1)


@given(st.floats(0.87, 1.14))
def test_drift_of_the_light_is_taken_out_by_the_blank_glass_in_the_tile(drift):
    mean = uneven()
    pixels = np.rint(with_cell(0.5, mean) * drift).astype(np.uint16)
    image = flat_field(pixels, Background(mean, 4095))
    assert float(image[10, 10]) == pytest.approx(220, abs=2)
    assert float(image[150, 150]) == pytest.approx(110, abs=2)


def test_carpet_of_red_cells_is_not_taken_for_dim_blank_glass():
    pixels = np.full(TILE_SHAPE, round(0.75 * BLANK_COUNTS), np.uint16)
    assert float(flat_field(pixels, blank_background())[0, 0]) == pytest.approx(165, abs=1)


def test_dark_background_is_refused():
    with pytest.raises(InputError, match="too dark"):
        Background(np.full((10, 10), 50, np.float32), 4095)


def test_tile_of_another_size_is_refused():
    with pytest.raises(InputError, match="399x304"):
        flat_field(np.zeros((304, 399), np.uint16), blank_background())


def test_saturated_pixels_are_counted():
    pixels = np.full((100, 100), 4094, np.uint16)
    pixels[:3] = 4095
    assert saturated_fraction(pixels, 4095) == pytest.approx(0.03)
