"""Training of the scout: heat maps of centres, and how usable the field is.

Centres are learnt as in CenterNet (Zhou et al. 2019): a Gaussian bump per centre and a focal loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from models.layout import BLANK_LEVEL, space_to_depth
from models.train.data.augment import Geometry, random_matrix, randomise_intensity, warp
from models.train.data.samples import FieldSet, cut
from models.train.networks.loop import Batch, Schedule, fit
from models.train.networks.nets import SCOUT_FINE_PX, SCOUT_GRID_PX, SCOUT_STEM_PX, ScoutNet

WINDOW_PX = 256
SOURCE_PX = 368
GEOMETRY = Geometry(shift_px=0.0)
BATCH = 16
SPREAD_PX = {"nucleus": 11.0, "red_cell": 4.2, "platelet": 3.2}
CENTRED_SHARE = {"nucleus": 0.45, "platelet": 0.3}
NEAR_GRID = 9
WEIGHTS = {"nucleus": 2.0, "red_cell": 1.5, "platelet": 4.0}


@dataclass(frozen=True)
class FieldSource:
    """Fields with their share of a batch."""

    fields: FieldSet
    share: float


@dataclass(frozen=True)
class Window:
    """An augmented window and what the network should say about it.

    Attributes:
        image: uint8 (WINDOW_PX, WINDOW_PX).
        coarse: float32 (2, g, g) on the 8 px grid: nuclei 0..1, usability or -1 where unknown.
        fine: float32 (2, 2g, 2g) on the 4 px grid: red cells and platelets, 0..1.
        weights: float32 (4,), of nuclei, usability, red cells, platelets.
    """

    image: NDArray[np.uint8]
    coarse: NDArray[np.float32]
    fine: NDArray[np.float32]
    weights: NDArray[np.float32]


def bumps(points_px: NDArray[np.float32], spread_px: float, grid_px: int) -> NDArray[np.float32]:
    """Return float32 (g, g): per grid cell the highest of the Gaussians, 1 at a centre."""
    size_grid = WINDOW_PX // grid_px
    heat = np.zeros((size_grid, size_grid), np.float32)
    axis = np.arange(size_grid, dtype=np.float32)
    inside = ((points_px > -0.5) & (points_px < WINDOW_PX - 0.5)).all(1)
    centres = (points_px[inside] + np.float32(0.5)) // grid_px
    parts = np.exp(-0.5 * ((axis - centres[..., None]) * grid_px / spread_px) ** 2)
    for x_part, y_part in parts:
        np.maximum(heat, y_part[:, None] * x_part[None], out=heat)
    return heat


def _centre(fields: FieldSet, index: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return where to look: most often near a white cell or a platelet."""
    shares = (CENTRED_SHARE["nucleus"], CENTRED_SHARE["platelet"])
    which = rng.choice(3, p=(*shares, 1.0 - sum(shares)))
    points = (fields.nuclei[index], fields.platelets[index], ())[which]
    if len(points):
        reach = WINDOW_PX * 0.45
        near = points[rng.integers(len(points))] + rng.uniform(-reach, reach, 2)
        return np.asarray(near, np.float64)
    height, width = fields.gray[index].shape
    return rng.uniform((0, 0), (width, height))


def sample(fields: FieldSet, index: int, rng: np.random.Generator) -> Window:
    """Return an augmented window of a field."""
    gray = fields.gray[index]
    nuclei = fields.nuclei[index]
    x, y = _centre(fields, index, rng)
    window = cut(gray, float(x), float(y), SOURCE_PX, BLANK_LEVEL)
    origin = np.round(np.array([x, y]) - SOURCE_PX / 2)
    matrix = random_matrix(rng, GEOMETRY, SOURCE_PX, WINDOW_PX)

    def heat(points_px: NDArray[np.float32], name: str, grid_px: int) -> NDArray[np.float32]:
        moved = (points_px - origin) @ matrix[:, :2].T + matrix[:, 2]
        return bumps(moved.astype(np.float32), SPREAD_PX[name], grid_px)

    red_cells, platelets = fields.red_cells[index], fields.platelets[index]
    seen = heat(nuclei, "nucleus", SCOUT_GRID_PX)
    cells = np.maximum(seen, heat(red_cells, "red_cell", SCOUT_GRID_PX))
    near = cv2.dilate(cells, np.ones((NEAR_GRID, NEAR_GRID)))
    focus = fields.in_focus[index]
    sharp = np.where(near > 0.5, np.nan_to_num(focus), -1.0).astype(np.float32)
    fine = (
        heat(red_cells, "red_cell", SCOUT_FINE_PX),
        heat(platelets, "platelet", SCOUT_FINE_PX),
    )
    weights = (
        WEIGHTS["nucleus"],
        float(not np.isnan(focus)),
        WEIGHTS["red_cell"] * fields.red_cells_known[index],
        WEIGHTS["platelet"] * fields.platelets_known[index],
    )
    image = randomise_intensity(warp(window, matrix, WINDOW_PX, BLANK_LEVEL), rng)
    return Window(image, np.stack([seen, sharp]), np.stack(fine), np.array(weights, np.float32))


def batch(sources: Sequence[FieldSource], rng: np.random.Generator) -> Batch:
    """Return folded images, coarse and fine targets, and weights of one step."""
    shares = np.array([source.share for source in sources])
    windows = []
    for which in rng.choice(len(sources), BATCH, p=shares / shares.sum()):
        fields = sources[which].fields
        windows.append(sample(fields, int(rng.integers(len(fields))), rng))
    folded = space_to_depth(np.stack([window.image for window in windows]), SCOUT_STEM_PX)
    return (
        torch.from_numpy(folded).float() / 255,
        torch.from_numpy(np.stack([window.coarse for window in windows])),
        torch.from_numpy(np.stack([window.fine for window in windows])),
        torch.from_numpy(np.stack([window.weights for window in windows])),
    )


def focal_loss(logits: Tensor, heat: Tensor) -> Tensor:
    """Return the CenterNet focal loss per image and channel, (n, c), per centre."""
    probability = logits.sigmoid().clamp(1e-4, 1 - 1e-4)
    centre = (heat > 0.999).float()
    hit = -((1 - probability) ** 2) * probability.log() * centre
    miss = -((1 - heat) ** 4) * probability**2 * (1 - probability).log() * (1 - centre)
    return (hit + miss).sum((2, 3)) / (centre.sum((2, 3)) + 1)


def loss(logits: Tensor, batch: Batch) -> Tensor:
    """Focal loss of the centres plus cross-entropy of usability near cells."""
    _, coarse, fine, weights = batch
    nuclei = focal_loss(logits[:, :1], coarse[:, :1]) * weights[:, :1]
    small = focal_loss(functional.pixel_shuffle(logits[:, 2:], 2), fine) * weights[:, 2:]
    near = (coarse[:, 1] >= 0).float() * weights[:, 1, None, None]
    entropy = functional.binary_cross_entropy_with_logits(
        logits[:, 1], coarse[:, 1].clamp(min=0), reduction="none"
    )
    usability = 0.5 * (entropy * near).sum() / near.sum().clamp(min=1)
    return nuclei.sum(1).mean() + small.sum(1).mean() + usability


def train(sources: Sequence[FieldSource], schedule: Schedule) -> ScoutNet:
    """Train on windows of the fields, most of them near a white cell."""
    torch.manual_seed(schedule.seed)
    return fit(ScoutNet(), lambda rng: batch(sources, rng), loss, schedule)
