"""How near the virtual stain comes to the pseudo-colour of unseen donors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from hal.sim.blood.donors import KINDS
from models.manifest import Score
from models.stainer import Stainer, finished, glass_of, lightness
from models.train.evaluation.metrics import mean_score
from models.train.stain.samples import StainSet
from models.train.stain.similarity import ssim_and_ms_ssim
from models.train.stain.training import GLASS_LIGHTNESS

Image = NDArray[np.uint8]
Picture = Callable[[Image], Image]

CHANNELS = ("red", "green", "blue")
DEFOCUS_UM = ((0.0, 0.3), (0.3, 0.6), (0.6, 1.6))
_STAINED_DARKNESS = 4.0
_CELL_REACH_PX = 30


def raw(stainer: Stainer) -> Picture:
    """Return the stain before post-processing, as a function of the gray image."""
    return lambda gray: _bytes(stainer.colour(gray))


def uncoloured(gray: Image) -> Image:
    """Return the gray image itself with the lightness of the stain: what no network reaches."""
    lab = np.zeros((*gray.shape, 3), np.float32)
    lab[..., 0] = lightness(gray, GLASS_LIGHTNESS)
    return _bytes(np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), np.float32))


def _bytes(rgb: NDArray[np.float32]) -> Image:
    return np.clip(np.round(255 * rgb), 0, 255).astype(np.uint8)


def similarities(made: Image, truth: Image) -> NDArray[np.float64]:
    """Return SSIM and MS-SSIM of red, green and blue, float64 (2, 3)."""
    pairs = [ssim_and_ms_ssim(made[..., plane], truth[..., plane]) for plane in range(3)]
    return np.array(pairs, np.float64).T


def colour_difference(made: Image, truth: Image) -> float:
    """Return the mean CIE 1976 difference where the truth is not glass."""
    one, two = (cv2.cvtColor(p.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) for p in (made, truth))
    stained = two[..., 0] < GLASS_LIGHTNESS - _STAINED_DARKNESS
    return float(np.linalg.norm(one - two, axis=2)[stained].mean()) if stained.any() else 0.0


def _fields(donors: Sequence[StainSet], *, enriched: bool) -> Iterator[tuple[int, StainSet, int]]:
    for number, donor in enumerate(donors):
        for index in np.flatnonzero(donor.enriched == enriched):
            yield number, donor, int(index)


def _per_donor(
    donors: Sequence[StainSet], picture: Picture, *, enriched: bool
) -> NDArray[np.float64]:
    """Return SSIM and MS-SSIM per donor and channel, float64 (donors, 2, 3)."""
    rows: dict[int, list[NDArray[np.float64]]] = {}
    for number, donor, index in _fields(donors, enriched=enriched):
        found = similarities(picture(donor.gray[index]), donor.colour[index])
        rows.setdefault(number, []).append(found)
    return np.array([np.mean(values, axis=0) for values in rows.values()])


def _two(values: NDArray[np.float64], title: str) -> dict[str, Score]:
    """Return scores of SSIM and MS-SSIM, means of the channels, of (n, 2, 3)."""
    return {
        f"{title} {name}": mean_score(values[:, which].mean(1))
        for which, name in ((1, "MS-SSIM"), (0, "SSIM"))
    }


def stain_scores(donors: Sequence[StainSet], stainer: Stainer, exact: Stainer) -> dict[str, Score]:
    """Return the scores of the shipped network.

    The fields of a donor are averaged, so that intervals are over donors.

    Args:
        donors: no training saw them.
        stainer: with the INT8 network.
        exact: with the float network.
    """
    natural = _per_donor(donors, raw(stainer), enriched=False)
    scores: dict[str, Score] = {}
    for which, name in ((1, "MS-SSIM"), (0, "SSIM")):
        for plane, channel in enumerate(CHANNELS):
            scores[f"{name} {channel}"] = mean_score(natural[:, which, plane])
        scores[f"{name} mean of R, G, B"] = mean_score(natural[:, which].mean(1))
    scores |= _two(_per_donor(donors, raw(exact), enriched=False), "in floating point:")
    scores |= _two(_per_donor(donors, raw(stainer), enriched=True), "fields rich in white cells:")
    scores |= _two(_per_donor(donors, uncoloured, enriched=False), "image left gray:")
    scores |= _displayed(donors, stainer)
    return scores | _by_kind(donors, stainer) | _by_defocus(donors, stainer)


def _displayed(donors: Sequence[StainSet], stainer: Stainer) -> dict[str, Score]:
    """Return the similarity of what is shown: both pictures after the post-processing."""
    found, differences = [], []
    for _, donor, index in _fields(donors, enriched=False):
        gray, colour = donor.gray[index], donor.colour[index]
        truth = finished(colour.astype(np.float32) / 255, glass_of(gray))
        found.append(similarities(stainer.stain(gray), truth))
        differences.append(colour_difference(raw(stainer)(gray), colour))
    difference = {"colour difference CIE76 where stained": mean_score(np.array(differences))}
    return _two(np.array(found), "after post-processing of both:") | difference


def _by_kind(donors: Sequence[StainSet], stainer: Stainer) -> dict[str, Score]:
    """Return the colour difference around the centres of the white cells, by kind."""
    differences: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for _, donor, index in _fields(donors, enriched=True):
        made = raw(stainer)(donor.gray[index])
        height, width = made.shape[:2]
        for _, x, y, kind in donor.cells[donor.cells[:, 0] == index]:
            if min(x, y, width - x, height - y) > _CELL_REACH_PX:
                around = (
                    slice(int(y) - _CELL_REACH_PX, int(y) + _CELL_REACH_PX),
                    slice(int(x) - _CELL_REACH_PX, int(x) + _CELL_REACH_PX),
                )
                error = colour_difference(made[around], donor.colour[index][around])
                differences[KINDS[int(kind)]].append(error)
    return {
        f"colour difference CIE76, {kind.replace('_', ' ')}": mean_score(np.array(values))
        for kind, values in differences.items()
        if values
    }


def _by_defocus(donors: Sequence[StainSet], stainer: Stainer) -> dict[str, Score]:
    scores: dict[str, Score] = {}
    picture = raw(stainer)
    for low_um, high_um in DEFOCUS_UM:
        found = [
            similarities(picture(donor.gray[index]), donor.colour[index])
            for _, donor, index in _fields(donors, enriched=False)
            if low_um <= abs(donor.defocus_um[index]) < high_um
        ]
        if found:
            scores |= _two(np.array(found), f"defocus {low_um:.1f} to {high_um:.1f} um:")
    return scores
