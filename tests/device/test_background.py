"""Blank glass: the exposure suits it, dust on it does not matter, and cells on it are noticed."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from device.errors import SampleRefusedError
from device.imaging.background import BlankGlass, JudgeLed, bright_level, roughness
from device.settings.sections import ScanConfig
from hal.errors import LedError
from hal.interfaces.camera import Frame, PixelFormat


def a_frame(pixels: NDArray[np.uint16], exposure_ms: float = 50.0) -> Frame:
    return Frame(pixels, 0, 0, 1000.0 * exposure_ms, 0.0, PixelFormat.MONO12, None)


class Glass:
    """Camera, imager and stage over a slide that is blank but for one speck of dust."""

    def __init__(self, counts_per_ms: float, speck_at_um: float | None = None) -> None:
        self.counts_per_ms = counts_per_ms
        self.speck_at_um = speck_at_um
        self.exposure_ms = 0.0
        self.x_um = 0.0

    def set_exposure(self, exposure_us: float) -> None:
        self.exposure_ms = exposure_us / 1000.0

    def to(self, x_um: float, y_um: float, z_um: float) -> None:
        self.x_um = x_um

    def take(self, field: object) -> Frame:
        columns = np.linspace(0.85, 1.0, 320)[None, :]
        light = 40.0 + self.counts_per_ms * self.exposure_ms * np.repeat(columns, 240, axis=0)
        if self.speck_at_um is not None:
            x_px = round((self.speck_at_um - self.x_um) / 0.165) + 160
            cv2.circle(light, (x_px, 120), 30, 40.0, -1)
        return a_frame(np.clip(light, 0, 4095).astype(np.uint16), self.exposure_ms)

    def take_dark(self) -> Frame:
        return a_frame(np.full((240, 320), 40, np.uint16))


def blank_glass(
    glass: Glass,
    notes: list[dict[str, float]] | None = None,
    judge_led: JudgeLed = lambda brightness_per_s, sound: None,
) -> BlankGlass:
    return BlankGlass(
        glass,  # type: ignore[arg-type]
        glass,  # type: ignore[arg-type]
        glass,  # type: ignore[arg-type]
        ScanConfig(blank_x_um=60_000.0),
        exposure_ms=50.0,
        longest_pulse_ms=150.0,
        note=lambda kind, data: (notes if notes is not None else []).append(data),
        judge_led=judge_led,
    )


@pytest.mark.parametrize("counts_per_ms", [25.0, 60.0, 300.0, 2000.0])
def test_the_exposure_is_neither_saturated_nor_dark(counts_per_ms: float) -> None:
    glass = Glass(counts_per_ms)
    background = blank_glass(glass).take_background()
    level = float(background.mean.max()) / background.full_scale
    assert 0.5 <= level <= 0.85
    assert background.dark_level == 40.0


@pytest.mark.parametrize("counts_per_ms", [2.0, 8000.0], ids=["dark", "saturated"])
def test_no_exposure_that_fits_refuses_the_sample(counts_per_ms: float) -> None:
    with pytest.raises(SampleRefusedError) as caught:
        blank_glass(Glass(counts_per_ms)).take_background()
    assert caught.value.error_code == "SAMPLE-EXPOSURE"


def test_a_speck_of_dust_is_not_in_the_background() -> None:
    clean = blank_glass(Glass(60.0)).take_background()
    dusty = blank_glass(Glass(60.0, speck_at_um=60_080.0)).take_background()
    assert np.array_equal(dusty.mean, clean.mean)


def test_what_was_found_is_noted() -> None:
    notes: list[dict[str, float]] = []
    blank_glass(Glass(60.0), notes).take_background()
    (note,) = notes
    assert note["exposure_ms"] == pytest.approx(50.0)
    assert note["level"] == pytest.approx(0.69, abs=0.02)
    assert note["dark_level"] == pytest.approx(40 / 4095)
    assert note["roughness"] < 0.01


def test_roughness_sees_cells_but_neither_noise_nor_uneven_light() -> None:
    rng = np.random.default_rng(3)
    uneven = np.repeat(np.linspace(2500.0, 3000.0, 600, dtype=np.float32)[None, :], 400, axis=0)
    noisy = uneven + rng.normal(0.0, 20.0, uneven.shape).astype(np.float32)
    cells = uneven.copy()
    for x, y in rng.integers(20, 380, (40, 2)):
        cv2.circle(cells, (int(x), int(y)), 22, 2000.0, -1)
    assert roughness(noisy) < 0.01
    assert roughness(cells) > 0.05


def test_the_bright_level_ignores_a_few_hot_pixels() -> None:
    pixels = np.full((100, 100), 2048, np.uint16)
    pixels[0, :5] = 4095
    assert bright_level(a_frame(pixels)) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(("counts_per_ms", "factor"), [(60.0, 1.0), (30.0, 0.5), (300.0, 5.0)])
def test_the_brightness_of_the_led_does_not_depend_on_the_exposure_that_suits(
    counts_per_ms: float, factor: float
) -> None:
    found: list[tuple[float, bool]] = []
    blank_glass(Glass(counts_per_ms), judge_led=lambda *led: found.append(led)).take_background()
    ((brightness_per_s, sound),) = found
    assert brightness_per_s == pytest.approx(factor * 60.0 * 0.925 * 1000.0 / 4095, rel=0.02)
    assert sound


def test_a_glass_that_is_too_dark_is_no_measure_of_the_led() -> None:
    found: list[tuple[float, bool]] = []
    with pytest.raises(SampleRefusedError):
        blank_glass(Glass(2.0), judge_led=lambda *led: found.append(led)).take_background()
    ((_, sound),) = found
    assert not sound


def test_a_worn_led_is_a_fault_rather_than_a_refused_sample() -> None:
    def worn(brightness_per_s: float, sound: bool) -> None:
        raise LedError("LIGHT-MAY-BE-ON")

    with pytest.raises(LedError):
        blank_glass(Glass(2.0), judge_led=worn).take_background()
