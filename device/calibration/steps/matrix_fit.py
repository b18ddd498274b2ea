"""From known moves and measured shifts to the camera's matrix: pixel size, rotation, handedness.

A feature at pixel ``p`` lies at ``stage + A (p - centre)``.  When the stage moves by ``d`` um, the
image of the slide moves by ``s = -B d`` px, with B the inverse of A.  B is fitted by least squares,
its parts follow from A.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

Pair = tuple[float, float]
Matrix = NDArray[np.float64]

MIN_MOVES = 5


@dataclass(frozen=True)
class CameraMatrix:
    """How the camera looks at the stage; uncertainties are half widths of 95 % intervals.

    Attributes:
        pixel_um: size of a pixel in the sample, the mean of both directions.
        rotation_deg: by which the image is turned against the stage, from x towards y.
        mirrored: whether the image is a mirror image.
        pixel_uncertainty_um: of ``pixel_um``.
        rotation_uncertainty_deg: of ``rotation_deg``.
        anisotropy: by how much the pixels differ in the two directions, share.
        residual_um: root mean square of what the fit leaves, in the sample.
        matrix_um: A, row by row.
    """

    pixel_um: float
    rotation_deg: float
    mirrored: bool
    pixel_uncertainty_um: float
    rotation_uncertainty_deg: float
    anisotropy: float
    residual_um: float
    matrix_um: tuple[Pair, Pair]


def fit_matrix(moves_um: Sequence[Pair], shifts_px: Sequence[Pair]) -> CameraMatrix:
    """Fit the matrix to places of the stage and places of the image.

    Args:
        moves_um: where the stage was, from any fixed place.
        shifts_px: where the image of the slide was then, from any fixed place.

    Raises:
        ValueError: fewer than 5 moves, or all along one line.
    """
    moves = np.asarray(moves_um, float)
    shifts = np.asarray(shifts_px, float)
    if len(moves) < MIN_MOVES:
        raise ValueError(f"{len(moves)} moves are too few for a matrix")
    # The first place has a stopping error like all others, so the origin is fitted too.
    design = np.column_stack([np.ones(len(moves)), moves])
    scale = np.abs(moves - moves.mean(axis=0)).max()
    if np.linalg.matrix_rank(design / [1.0, scale, scale], tol=1e-6 * len(moves)) < 3:
        raise ValueError("the moves do not span a plane")
    solution = np.linalg.lstsq(design, -shifts, rcond=None)[0]
    b = solution[1:].T
    rest_px = -shifts - design @ solution
    freedom = 2 * (len(moves) - 3)
    variance = float((rest_px**2).sum()) / freedom
    covariance = variance * np.linalg.inv(design.T @ design)[1:, 1:]
    a = np.linalg.inv(b)
    half = float(stdtrit(freedom, 0.975))
    pixel_sigma, rotation_sigma = _sigmas(b, covariance)
    pixel_um, rotation_deg, mirrored = _parts(b)
    lengths = np.linalg.norm(a, axis=0)
    return CameraMatrix(
        pixel_um=pixel_um,
        rotation_deg=rotation_deg,
        mirrored=mirrored,
        pixel_uncertainty_um=half * pixel_sigma,
        rotation_uncertainty_deg=half * rotation_sigma,
        anisotropy=float(abs(lengths[0] - lengths[1]) / lengths.mean()),
        residual_um=pixel_um * math.sqrt(float((rest_px**2).sum(axis=1).mean())),
        matrix_um=((float(a[0, 0]), float(a[0, 1])), (float(a[1, 0]), float(a[1, 1]))),
    )


def _parts(b: Matrix) -> tuple[float, float, bool]:
    """Return pixel size, rotation and handedness of the similarity nearest to A."""
    a = np.linalg.inv(b)
    mirrored = bool(np.linalg.det(a) < 0.0)
    hand = -1.0 if mirrored else 1.0
    rotation_rad = math.atan2(a[1, 0] - hand * a[0, 1], a[0, 0] + hand * a[1, 1])
    return math.sqrt(abs(float(np.linalg.det(a)))), math.degrees(rotation_rad), mirrored


def _sigmas(b: Matrix, covariance: Matrix) -> tuple[float, float]:
    """Return the standard deviations of pixel size and rotation, to first order."""
    # Both rows of B have the same covariance and are independent of each other.
    gradients = np.zeros((2, 2, 2))
    step = 1e-6 * float(np.abs(b).max())
    base = _parts(b)
    for row in range(2):
        for column in range(2):
            moved = b.copy()
            moved[row, column] += step
            changed = _parts(moved)
            turned = (changed[1] - base[1] + 180.0) % 360.0 - 180.0
            gradients[:, row, column] = ((changed[0] - base[0]) / step, turned / step)
    variances = np.einsum("kri,ij,krj->k", gradients, covariance, gradients)
    return math.sqrt(float(variances[0])), math.sqrt(float(variances[1]))
