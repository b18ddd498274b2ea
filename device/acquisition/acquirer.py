"""From the plan to tiles: the focus map, and one tile after the other."""

from __future__ import annotations

import logging
from collections import deque

import numpy as np

from device.acquisition.focus_map import FocusMap, extrapolate_z_um, fit_focus_map
from device.acquisition.plan import Plan, choose_anchors
from device.analysis.tile import Tile
from device.errors import SampleRefusedError
from device.imaging.field import Field
from device.imaging.focus import FocusPoint, Peak, sharpness
from device.imaging.rig import ImagingRig
from hal.errors import FrameError, LightError
from hal.interfaces.stage import Position

log = logging.getLogger(__name__)

ANCHOR_NEIGHBOURS = 6
MIN_ANCHORS = 5
KNOWN_TILT_ANCHORS = 3
WATCHED_TILES = 15
MIN_WATCHED_TILES = 5


class SharpnessWatch:
    """Detects a tile that is much less sharp than those before it."""

    def __init__(self, ratio: float) -> None:
        self._ratio = ratio
        self._recent: deque[float] = deque(maxlen=WATCHED_TILES)

    def is_low(self, value: float) -> bool:
        """Return whether ``value`` is below the ratio of the recent median; else remember it."""
        if len(self._recent) >= MIN_WATCHED_TILES:
            median = float(np.median(self._recent))
            if value < self._ratio * median:
                return True
        self._recent.append(value)
        return False

    def forget(self) -> None:
        """Begin again: after a refocus this part of the smear sets the sharpness."""
        self._recent.clear()


class Acquisition:
    """Takes the tiles of one run.

    Args:
        rig: set up.
        plan: of the scan area.
    """

    def __init__(self, rig: ImagingRig, plan: Plan) -> None:
        self._rig = rig
        self._mover = rig.mover
        self._imager = rig.imager
        self._note = rig.user.note
        self._scan = rig.settings.scan
        self._plan = plan
        self._watch = SharpnessWatch(self._scan.refocus_sharpness_ratio)
        self._map: FocusMap | None = None
        self._shift_um = 0.0
        self._focus_trusted = True

    def distrust_focus(self) -> None:
        """Check the focus at the next tile: somebody may have touched the slide."""
        self._focus_trusted = False

    def map_focus(self) -> FocusMap:
        """Measure the focus at the anchors and fit the focal surface.

        Raises:
            SampleRefusedError: too few anchors show anything in focus.
        """
        anchors = choose_anchors(self._plan, self._scan.focus_anchors)
        points: list[FocusPoint] = []
        for done, anchor in enumerate(anchors):
            if len(points) + len(anchors) - done < MIN_ANCHORS:
                break
            point = self._measure_focus(anchor, points)
            if point is not None:
                points.append(point)
        if len(points) < MIN_ANCHORS:
            raise SampleRefusedError(
                "SAMPLE-NO-FOCUS",
                focused=len(points),
                places=len(anchors),
                needed=MIN_ANCHORS,
            )
        self._map = fit_focus_map(points)
        self._note(
            "focus_map",
            {
                "anchors": len(anchors),
                "centre_um": list(self._map.centre_um),
                "points": [[p.x_um, p.y_um, p.z_um] for p in points],
                "coefficients": list(self._map.coefficients),
                "residuals_um": list(self._map.residuals_um),
                "rms_um": self._map.rms_um,
                "outliers": len(points) - sum(self._map.inliers),
            },
        )
        return self._map

    def take(self, field: Field, sequence: int, following: Field | None = None) -> Tile:
        """Take the tile at ``field``; refocus there first when it is not sharp.

        Args:
            field: place of the tile.
            sequence: number of the tile.
            following: where the stage goes while the frame is read out.

        Raises:
            FrameError, LightError, DoseLimitError: no tile in spite of all retries; others work.
            LeukoluxError: as the devices raise.
        """
        position = self._go_to(field)
        try:
            frame = self._imager.take_once(field, lambda: self._go_ahead(following))
        except (FrameError, LightError) as error:
            if self._scan.tile_retries == 0:
                raise
            log.warning("row %d column %d once more: %s", field.row, field.column, error)
            position = self._go_to(field)
            frame = self._imager.take(field, lost=1)
        blurred = self._watch.is_low(sharpness(frame.pixels))
        if blurred or not self._focus_trusted:
            position = self._go_to(field)
            self._refocus(field)
            frame = self._imager.take(field)
        return Tile(
            sequence=sequence,
            row=field.row,
            column=field.column,
            x_um=position.x_um,
            y_um=position.y_um,
            z_um=self._height_um(field),
            pixels=np.asarray(frame.pixels, np.uint16),
            full_scale=frame.pixel_format.full_scale,
            pixel_um=self._rig.settings.camera.pixel_um,
            exposure_ms=frame.exposure_us / 1000.0,
        )

    def _peak_um(self, field: Field) -> float:
        if self._map is None:
            raise RuntimeError("the focus map comes before the first tile")
        return self._map.predict_z_um(field.x_um, field.y_um) + self._shift_um

    def _height_um(self, field: Field) -> float:
        return self._peak_um(field) + self._scan.focus_offset_um

    def _go_to(self, field: Field) -> Position:
        return self._mover.to(field.x_um, field.y_um, self._height_um(field))

    def _go_ahead(self, field: Field | None) -> None:
        if field is not None:
            self._mover.go_ahead(field.x_um, field.y_um, self._height_um(field))

    def _refocus(self, field: Field) -> None:
        """Correct the focus by a fine stack at ``field``, and go to the height found."""
        peak_um = self._peak_um(field)
        outcome = self._rig.focuser.refine(field, peak_um)
        self._watch.forget()
        self._focus_trusted = True
        shift_um = outcome.z_um - peak_um if isinstance(outcome, Peak) else 0.0
        self._note("refocus", {"row": field.row, "column": field.column, "shift_um": shift_um})
        self._shift_um += shift_um
        self._mover.to_z(self._height_um(field))

    def _measure_focus(self, anchor: Field, points: list[FocusPoint]) -> FocusPoint | None:
        nearest = sorted(
            self._plan.fields,
            key=lambda f: (f.x_um - anchor.x_um) ** 2 + (f.y_um - anchor.y_um) ** 2,
        )[:ANCHOR_NEIGHBOURS]
        guess_um = (
            extrapolate_z_um(points, anchor.x_um, anchor.y_um) if points else self._scan.focus_z_um
        )
        coarse = len(points) < KNOWN_TILT_ANCHORS
        point = self._rig.focuser.search(nearest, guess_um, coarse=coarse)
        log.info("anchor row %d column %d: %s", anchor.row, anchor.column, point)
        return point
