"""Step: pixel size and camera rotation from known moves of the stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np

from device.calibration.steps.context import CalibrationContext
from device.calibration.steps.matrix_fit import CameraMatrix, Matrix, Pair, fit_matrix
from device.calibration.steps.quantities import (
    CalibrationRefusedError,
    Outcome,
    Quantity,
    judged,
)
from device.calibration.steps.shift import Structure, large_shift_px, structure

PROBE_SHARE = 0.15
"""First moves, in frames: small enough to be found whatever the camera's rotation."""

STEP_SHARE = 0.35
STEPS = 6
"""Moves to each side of the middle, each by this share of a frame, along x and along y: the
stopping error of the stage counts once for the whole way, not once for every move."""

MAX_DEPARTURE = 0.02
"""Of the pixel size from the settings': beyond it they name another objective or binning."""

MAX_UNCERTAINTY = 0.01
MAX_ANISOTROPY = 0.03
MAX_RESIDUAL_UM = 5.0

_CODES = {
    "pixel_um": "CALIBRATION-PIXEL",
    "pixel_relative_uncertainty": "CALIBRATION-PIXEL-UNCERTAIN",
    "rotation_deg": "CALIBRATION-ROTATION",
    "mirrored": "CALIBRATION-MIRRORED",
    "anisotropy": "CALIBRATION-ANISOTROPY",
    "residual_um": "CALIBRATION-RESIDUAL",
}


def measure(context: CalibrationContext, entries: Mapping[str, float]) -> Outcome:
    """Move along a cross and compare each frame with the one before it."""
    context.prepare()
    focus = context.find_focus()
    # The cross must not lead through the fields of the focus search, which have had their light.
    (start,) = context.fields(1, apart=1)
    walk = _Walk(context, start.x_um, start.y_um, focus.z_um)
    guess = _probe(context, walk)
    moves: list[Pair] = [(0.0, 0.0)]
    shifts: list[Pair] = [(0.0, 0.0)]
    for axis in (0, 1):
        for direction in (1, -1):
            walk.restart()
            for _ in range(STEPS):
                moves.append(walk.step(axis, direction * STEP_SHARE, guess))
                shifts.append(walk.shift_px)
                context.say(
                    "Comparing frames after known moves.", 0.3 + 0.7 * len(moves) / (4 * STEPS + 1)
                )
    return _outcome(context, fit_matrix(moves, shifts))


class _Walk:
    """Follows the image of the slide from frame to frame, away from the middle."""

    def __init__(self, context: CalibrationContext, x_um: float, y_um: float, z_um: float) -> None:
        self._context = context
        self._z_um = z_um
        camera = context.settings.camera
        self._tile_um = (camera.width_px * camera.pixel_um, camera.height_px * camera.pixel_um)
        position, frame = context.frame_at(x_um, y_um, z_um)
        self._middle: Structure = structure(frame.pixels)
        self._origin = (position.x_um, position.y_um)
        self.restart()

    def restart(self) -> None:
        """Begin at the middle again."""
        self._last = self._middle
        self._at = (0.0, 0.0)
        self.shift_px: Pair = (0.0, 0.0)

    def step(self, axis: int, share: float, guess: Matrix | None) -> Pair:
        """Move by a share of a frame; return where the stage is, um from the middle.

        ``guess`` is the matrix B as far as it is known.
        """
        target = list(self._at)
        target[axis] += share * self._tile_um[axis]
        x_um, y_um = (o + t for o, t in zip(self._origin, target, strict=True))
        position, frame = self._context.frame_at(x_um, y_um, self._z_um)
        at = (position.x_um - self._origin[0], position.y_um - self._origin[1])
        now = structure(frame.pixels)
        expected = (0.0, 0.0)
        if guess is not None:
            dx, dy = -guess @ np.subtract(at, self._at)
            expected = (float(dx), float(dy))
        shift = large_shift_px(self._last, now, expected)
        if shift is None:
            raise CalibrationRefusedError("CALIBRATION-NO-SHIFT")
        self.shift_px = (self.shift_px[0] + shift[0], self.shift_px[1] + shift[1])
        self._at, self._last = at, now
        return at


def _probe(context: CalibrationContext, walk: _Walk) -> Matrix:
    """Return a first estimate of B from one small move along each axis."""
    moves, shifts = [], []
    for axis in (0, 1):
        walk.restart()
        moves.append(walk.step(axis, PROBE_SHARE, None))
        shifts.append(walk.shift_px)
    context.say("Comparing frames after known moves.", 0.25)
    return np.asarray(-np.linalg.solve(np.array(moves), np.array(shifts)).T)


def _outcome(context: CalibrationContext, found: CameraMatrix) -> Outcome:
    most_deg = context.settings.calibration.max_rotation_deg
    share = found.pixel_uncertainty_um / found.pixel_um
    nominal_um = context.settings.camera.pixel_um
    quantities = (
        Quantity(
            "pixel_um",
            found.pixel_um,
            "um",
            found.pixel_uncertainty_um,
            (1.0 - MAX_DEPARTURE) * nominal_um,
            (1.0 + MAX_DEPARTURE) * nominal_um,
        ),
        Quantity(
            "rotation_deg",
            found.rotation_deg,
            "deg",
            found.rotation_uncertainty_deg,
            -most_deg,
            most_deg,
        ),
        Quantity("mirrored", float(found.mirrored), high=0.0),
        Quantity("anisotropy", found.anisotropy, high=MAX_ANISOTROPY),
        Quantity("residual_um", found.residual_um, "um", high=MAX_RESIDUAL_UM),
        Quantity("pixel_relative_uncertainty", share, high=MAX_UNCERTAINTY),
    )
    return judged(_CODES, quantities, asdict(found))
