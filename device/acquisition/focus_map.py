"""The focal surface of a smear, fitted to the focus measured at some places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

from device.imaging.focus import FocusPoint

PLANE_TERMS = 3
CURVED_TERMS = 6
PRIOR_SIGMAS = (1.0, 2.0, 2.0, 0.2, 0.2, 0.2)
"""Usual size of the terms of the focal surface before anything is measured: um, um/mm, um/mm2."""

OUTLIER_SIGMAS = 2.5
MAX_SUBSETS = 3000
MAX_CONDITION = 1e6
FLOOR_SIGMA_UM = 0.25
"""Repeatability of one focus search; residuals below it are never called outliers."""


@dataclass(frozen=True)
class FocusMap:
    """The focal surface z(x, y): a plane, or a plane with curvature.

    Attributes:
        centre_um: x, y the coefficients refer to.
        coefficients: of 1, x, y and, when curved, x^2, x y, y^2, with x and y in mm from the
            centre and z in um.
        residuals_um: measured minus map, one per point of the fit.
        inliers: which points the fit used.
    """

    centre_um: tuple[float, float]
    coefficients: tuple[float, ...]
    residuals_um: tuple[float, ...]
    inliers: tuple[bool, ...]

    def predict_z_um(self, x_um: float, y_um: float) -> float:
        """Return the best focus at a place of the stage frame."""
        terms = _terms(np.array([[x_um, y_um]]), self.centre_um, len(self.coefficients))
        return float(terms[0] @ np.asarray(self.coefficients))

    @property
    def rms_um(self) -> float:
        """Root mean square of the residuals of the points used."""
        used = np.asarray(self.residuals_um)[np.asarray(self.inliers)]
        return float(np.sqrt(np.mean(used**2)))


def _terms(
    xy_um: NDArray[np.float64], centre_um: tuple[float, float], count: int
) -> NDArray[np.float64]:
    x, y = ((xy_um - np.asarray(centre_um)) / 1000.0).T
    terms: list[NDArray[np.float64]] = [np.ones_like(x), x, y, x * x, x * y, y * y]
    stacked: NDArray[np.float64] = np.column_stack(terms[:count])
    return stacked


def extrapolate_z_um(points: Sequence[FocusPoint], x_um: float, y_um: float) -> float:
    """Predict the focus from the few points measured so far.

    Least squares with a normal prior on tilt and curvature (ridge regression; Hoerl and Kennard,
    Technometrics 12, 1970): terms that the points do not determine stay small.  Raises
    ValueError without any point.
    """
    if not points:
        raise ValueError("no focus point to predict from")
    centre_um = (points[0].x_um, points[0].y_um)
    xy_um = np.array([[p.x_um, p.y_um] for p in points])
    rises_um = np.array([p.z_um - points[0].z_um for p in points])
    terms = _terms(xy_um, centre_um, CURVED_TERMS)
    weighted = np.vstack([terms / FLOOR_SIGMA_UM, np.diag(1.0 / np.array(PRIOR_SIGMAS))])
    wanted = np.concatenate([rises_um / FLOOR_SIGMA_UM, np.zeros(CURVED_TERMS)])
    coefficients = np.linalg.lstsq(weighted, wanted, rcond=None)[0]
    here = _terms(np.array([[x_um, y_um]]), centre_um, CURVED_TERMS)[0]
    return points[0].z_um + float(here @ coefficients)


def fit_focus_map(points: Sequence[FocusPoint], tolerance_um: float = 0.5) -> FocusMap:
    """Fit the focal surface robustly: outliers are found and left out.

    Least median of squares over all minimal subsets (Rousseeuw, J. Am. Stat. Assoc. 79, 1984),
    then least squares on the points within 2.5 robust standard deviations.  A plane; with
    curvature when the plane leaves more than ``tolerance_um`` or more than a quarter of the
    points, and there are points to spare: a few outliers must not bend the surface.

    Raises:
        ValueError: fewer than 5 points, or they lie on a line.
    """
    if len(points) < PLANE_TERMS + 2:
        raise ValueError(f"{len(points)} focus points are too few for a map")
    plane = _robust_fit(points, PLANE_TERMS)
    few_outliers = plane.inliers.count(False) <= len(points) // 4
    if plane.rms_um <= tolerance_um and few_outliers:
        return plane
    if len(points) < CURVED_TERMS + 2:
        return plane
    curved = _robust_fit(points, CURVED_TERMS)
    kept_more = curved.inliers.count(True) > plane.inliers.count(True)
    fits_better = plane.rms_um > tolerance_um and curved.rms_um < 0.5 * plane.rms_um
    return curved if kept_more or fits_better else plane


def _robust_fit(points: Sequence[FocusPoint], count: int) -> FocusMap:
    xy_um = np.array([[p.x_um, p.y_um] for p in points])
    z_um = np.array([p.z_um for p in points])
    centre_um = (float(xy_um[:, 0].mean()), float(xy_um[:, 1].mean()))
    terms = _terms(xy_um, centre_um, count)
    if np.linalg.matrix_rank(terms, tol=1e-6 * len(points)) < count:
        raise ValueError("the focus points do not span a surface")
    residuals_um = _least_median_residuals_um(terms, z_um)
    # 1.4826 makes the median absolute deviation the standard deviation of a normal distribution;
    # the other factor is Rousseeuw's correction for few points.
    spread_um = 1.4826 * (1.0 + 5.0 / (len(points) - count)) * np.median(np.abs(residuals_um))
    inliers = np.abs(residuals_um) <= OUTLIER_SIGMAS * max(spread_um, FLOOR_SIGMA_UM)
    coefficients = np.linalg.lstsq(terms[inliers], z_um[inliers], rcond=None)[0]
    return FocusMap(
        centre_um,
        tuple(float(value) for value in coefficients),
        tuple(float(value) for value in z_um - terms @ coefficients),
        tuple(bool(value) for value in inliers),
    )


def _least_median_residuals_um(
    terms: NDArray[np.float64], z_um: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the residuals of the minimal subset that most of the other points agree with."""
    count = terms.shape[1]
    subsets = _subsets(len(z_um), count)
    subsets = subsets[np.linalg.cond(terms[subsets]) < MAX_CONDITION]
    solutions = np.linalg.solve(terms[subsets], z_um[subsets][..., None])[..., 0]
    residuals_um: NDArray[np.float64] = z_um - solutions @ terms.T
    # Half of the points beyond the minimal subset must agree with it.
    quantile = (len(z_um) + count + 1) // 2 - 1
    best = int(np.sort(np.abs(residuals_um), axis=1)[:, quantile].argmin())
    return np.asarray(residuals_um[best])


def _subsets(points: int, count: int) -> NDArray[np.intp]:
    if comb(points, count) <= MAX_SUBSETS:
        return np.array(list(combinations(range(points), count)))
    rng = np.random.default_rng(0)
    return np.array([rng.choice(points, count, replace=False) for _ in range(MAX_SUBSETS)])
