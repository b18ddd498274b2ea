"""The positions of all tiles that fit the measured links best, whatever single links say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csc_array, diags_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

from device.analysis.registration.links import STAGE_SIGMA_UM, Link, StageAxes

_Vector = NDArray[np.float64]

_ROUNDS: Final = 12
_FIRST_SCALE: Final = 64.0
"""Scale of the weights in the first round, in standard errors of a link; halved every round."""

_LAST_SCALE: Final = 3.0
_REJECTED_WEIGHT: Final = 0.1


@dataclass(frozen=True)
class Placement:
    """Where tiles lie in the mosaic, whose axes are those of the camera.

    Attributes:
        centres_um: of the tiles, (N, 2); their mean is that of the reported positions.
        groups: number of the group that each tile is linked to, (N,); between groups positions
            are as exact as the stage.
        axes: from steps of the stage to steps in the mosaic, (2, 2).
        residuals_um: what each link is off by, (links,).
        rejected: whether each link was left out because the others contradict it, (links,).
    """

    centres_um: _Vector
    groups: NDArray[np.int64]
    axes: _Vector
    residuals_um: _Vector
    rejected: NDArray[np.bool_]

    def summary(self) -> dict[str, float | int | None]:
        """Return how well the mosaic hangs together, as JSON."""
        kept_um = self.residuals_um[~self.rejected]
        turn = math.atan2(self.axes[1, 0] - self.axes[0, 1], self.axes[0, 0] + self.axes[1, 1])
        return {
            "tiles": len(self.centres_um),
            "groups": len(np.unique(self.groups)),
            "links": len(self.residuals_um),
            "links_rejected": int(self.rejected.sum()),
            "median_residual_um": float(np.median(kept_um)) if len(kept_um) else None,
            "camera_rotation_deg": -math.degrees(turn),
        }


def place_tiles(reported_um: _Vector, links: Sequence[Link]) -> Placement:
    """Return the positions that fit links and stage by weighted least squares.

    A link counts by its standard error, and less the more the others contradict it: weights of
    Geman and McClure, whose scale shrinks from round to round (graduated non-convexity, Blake and
    Zisserman 1987), so that bad links lose without pulling first.  The stage decides where no link
    does.  Time and memory grow in proportion to the tiles.

    Args:
        reported_um: centres as the stage reported them, (N, 2).
        links: between these tiles, by index.
    """
    count = len(reported_um)
    fixed = np.array([link.fixed for link in links], dtype=np.int64)
    moving = np.array([link.moving for link in links], dtype=np.int64)
    steps_um = np.array([link.step_um for link in links]).reshape(-1, 2)
    sigmas_um = np.array([link.sigma_um for link in links])
    axes = _axes(reported_um[moving] - reported_um[fixed], steps_um, np.ones(len(links)))
    weights = np.ones(len(links))
    scale = _FIRST_SCALE
    middle_um = reported_um.mean(axis=0) if count else np.zeros(2)
    for _ in range(_ROUNDS):
        expected_um = middle_um + (reported_um - middle_um) @ axes.T
        centres_um = _solve(expected_um, fixed, moving, steps_um, weights / sigmas_um**2)
        off_um = np.hypot(*(centres_um[moving] - centres_um[fixed] - steps_um).T)
        weights = 1.0 / (1.0 + (off_um / sigmas_um / scale) ** 2) ** 2
        axes = _axes(reported_um[moving] - reported_um[fixed], steps_um, weights)
        scale = max(_LAST_SCALE, scale / 2.0)
    rejected = weights < _REJECTED_WEIGHT
    kept = ~rejected
    graph = coo_array((np.ones(kept.sum()), (fixed[kept], moving[kept])), shape=(count, count))
    groups = connected_components(graph, directed=False)[1].astype(np.int64)
    return Placement(centres_um, groups, axes, off_um, rejected)


def _axes(reported_um: _Vector, seen_um: _Vector, weights: _Vector) -> _Vector:
    axes = StageAxes()
    shares = np.sqrt(weights)[:, None]
    axes.learn(reported_um * shares, seen_um * shares)
    return axes.matrix


def _solve(
    expected_um: _Vector,
    fixed: NDArray[np.int64],
    moving: NDArray[np.int64],
    steps_um: _Vector,
    weights: _Vector,
) -> _Vector:
    """Minimise the weighted squares of what links and stage positions are off by."""
    count, links = len(expected_um), np.arange(len(fixed))
    differences = coo_array(
        (
            np.concatenate([np.ones(len(fixed)), -np.ones(len(fixed))]),
            (np.concatenate([links, links]), np.concatenate([moving, fixed])),
        ),
        shape=(len(fixed), count),
    ).tocsc()
    weighted = diags_array(weights) @ differences
    stage = diags_array(np.full(count, 1.0 / STAGE_SIGMA_UM**2))
    normal = csc_array(differences.T @ weighted + stage)
    right = weighted.T @ steps_um + stage @ expected_um
    return np.asarray(splu(normal).solve(right))
