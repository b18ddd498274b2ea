"""From the plan to tiles: exposure, background, focus map, and one tile after the other."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from threading import Event
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from device.analysis.flatfield import Background
from device.dose import DoseLedger
from device.errors import SampleRefusedError
from device.focus import (
    FocusMap,
    FocusPoint,
    Peak,
    extrapolate_z_um,
    fit_focus_map,
    sharpness,
)
from device.focusing import Focuser
from device.imaging import Imager
from device.moving import Mover
from device.plan import Field, Plan, choose_anchors
from device.settings import Settings
from device.tile import Tile
from hal.camera import Camera, Frame
from hal.clock import Clock
from hal.errors import FrameError, LightError
from hal.light import Light
from hal.stage import Position, Stage

log = logging.getLogger(__name__)

BLANK_ROW = -1
"""Row under which the ledger keeps the exposures of blank glass, one column per exposure."""

TARGET_LEVEL = 0.75
ACCEPTED_LEVELS = (0.5, 0.85)
SATURATED_LEVEL = 0.97
WEAKEST_LEVEL = 0.25
EXPOSURE_TRIES = 5
MIN_EXPOSURE_MS = 1.0
MAX_EXPOSURE_MS = 100.0

ANCHOR_NEIGHBOURS = 6
MIN_ANCHORS = 5
KNOWN_TILT_ANCHORS = 3
WATCHED_TILES = 15
MIN_WATCHED_TILES = 5


class SharpnessWatch:
    """Tells when a tile is much less sharp than those before it."""

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
        """Start anew: after a refocus the sharpness is what this part of the smear has to give."""
        self._recent.clear()


class Acquisition:
    """Takes the images of one run.

    Args:
        gate: called before every exposure; waits while the run is paused, raises Cancelled.
        lid_opened: called when the interlock ended an exposure; returns when it may be repeated.
        cancel: ends every wait with Cancelled.
        beat: called while waiting for the stage.
        note: stores what was found, as kind and data.
    """

    def __init__(
        self,
        camera: Camera,
        stage: Stage,
        light: Light,
        clock: Clock,
        settings: Settings,
        plan: Plan,
        ledger: DoseLedger,
        *,
        gate: Callable[[], None],
        lid_opened: Callable[[], None],
        cancel: Event,
        beat: Callable[[], None],
        note: Callable[[str, dict[str, Any]], None],
    ) -> None:
        self._camera = camera
        self._light = light
        self._settings = settings
        self._scan = settings.scan
        self._plan = plan
        self._ledger = ledger
        self._note = note
        self._mover = Mover(stage, clock, settings.scan, cancel, beat)
        self._imager = Imager(
            camera,
            light,
            clock,
            ledger,
            gate=gate,
            lid_opened=lid_opened,
            retries=settings.scan.tile_retries,
            frame_timeout_ms=settings.camera.frame_timeout_ms,
        )
        self._focuser = Focuser(self._imager, self._mover, ledger, settings.scan)
        self._watch = SharpnessWatch(settings.scan.refocus_sharpness_ratio)
        self._exposure_ms = settings.camera.exposure_ms
        self._map: FocusMap | None = None
        self._shift_um = 0.0
        self._focus_trusted = True
        self._blanks = 0

    def home(self) -> None:
        """Home the stage when its position is not known, and set the camera."""
        self._camera.set_gain(self._settings.camera.gain_db)
        self._mover.home()

    def distrust_focus(self) -> None:
        """Check the focus at the next tile: somebody may have touched the slide."""
        self._focus_trusted = False

    def take_background(self) -> Background:
        """Go to blank glass, set the exposure there, and average frames.

        Raises:
            SampleRefusedError: no exposure is neither saturated nor too dark.
        """
        scan = self._scan
        self._mover.to(scan.blank_x_um, scan.blank_y_um, scan.focus_z_um)
        frame = self._find_exposure()
        dark_level = float(self._imager.take_dark().pixels.mean())
        total = np.zeros(frame.pixels.shape, np.float32)
        for _ in range(scan.background_frames):
            total += self._take_blank().pixels
        full_scale = frame.pixel_format.full_scale
        mean = total / np.float32(scan.background_frames)
        self._note(
            "background",
            {
                "exposure_ms": self._exposure_ms,
                "level": float(mean.mean()) / full_scale,
                "dark_level": dark_level / full_scale,
            },
        )
        return Background(mean, full_scale, dark_level)

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
                f"Only {len(points)} of {len(anchors)} places of the scan area show cells in "
                f"focus; {MIN_ANCHORS} are needed.",
                remedy="Check that the slide lies flat, smear upwards, with the smear in the scan "
                "area, and that the optics are clean.",
                code="SAMPLE-NO-FOCUS",
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
            field: where.
            sequence: number of the tile.
            following: where the stage goes while the frame is read out.

        Raises:
            FrameError, LightError, DoseLimitError: no tile in spite of all retries; others work.
            LeukoluxError: as the devices raise.
        """
        position = self._go_to(field)
        self._imager.warm_up(field)
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
            pixel_um=self._settings.camera.pixel_um,
            exposure_ms=frame.exposure_us / 1000.0,
        )

    def close(self) -> None:
        """End the stage's thread."""
        self._mover.close()

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
        outcome = self._focuser.refine(field, peak_um)
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
        point = self._focuser.search(nearest, guess_um, coarse=coarse)
        log.info("anchor row %d column %d: %s", anchor.row, anchor.column, point)
        return point

    def _find_exposure(self) -> Frame:
        longest_ms = min(MAX_EXPOSURE_MS, 0.8 * self._light.max_pulse_ms)
        for _ in range(EXPOSURE_TRIES):
            self._camera.set_exposure(1000.0 * self._exposure_ms)
            frame = self._take_blank()
            level = _bright_level(frame)
            if ACCEPTED_LEVELS[0] <= level <= ACCEPTED_LEVELS[1]:
                return frame
            wanted_ms = self._exposure_ms * (
                0.5 if level >= SATURATED_LEVEL else TARGET_LEVEL / max(level, 0.01)
            )
            wanted_ms = min(max(wanted_ms, MIN_EXPOSURE_MS), longest_ms)
            if wanted_ms == self._exposure_ms:
                break
            self._exposure_ms = wanted_ms
        if WEAKEST_LEVEL <= level < SATURATED_LEVEL:
            return frame
        raise SampleRefusedError(
            f"Blank glass shows {100 * level:.0f} % of full scale at {self._exposure_ms:.0f} ms.",
            remedy="Check that the blank part of the slide is clean and lies where "
            "scan.blank_x_um and scan.blank_y_um say, and that the lamp and the optics are clean.",
            code="SAMPLE-EXPOSURE",
        )

    def _take_blank(self) -> Frame:
        self._blanks += 1
        scan = self._scan
        return self._imager.take(Field(BLANK_ROW, self._blanks, scan.blank_x_um, scan.blank_y_um))


def _bright_level(frame: Frame) -> float:
    """Return the 99.9th percentile as a share of full scale."""
    pixels: NDArray[np.uint16] = np.asarray(frame.pixels, np.uint16)
    full_scale = frame.pixel_format.full_scale
    counts = cv2.calcHist([pixels], [0], None, [full_scale + 1], [0, full_scale + 1]).ravel()
    return float(np.searchsorted(np.cumsum(counts), 0.999 * pixels.size)) / full_scale
