"""From the plan to tiles: exposure, background, focus map, and one tile after the other."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from threading import Event
from typing import Any

import numpy as np

from device.acquisition.background import BlankGlass, JudgeLed
from device.acquisition.dose import DoseLedger
from device.acquisition.focus import (
    FocusMap,
    FocusPoint,
    Peak,
    extrapolate_z_um,
    fit_focus_map,
    sharpness,
)
from device.acquisition.focusing import Focuser
from device.acquisition.imaging import Imager
from device.acquisition.moving import Mover
from device.acquisition.plan import Field, Plan, choose_anchors
from device.analysis.flatfield import Background
from device.analysis.tile import Tile
from device.errors import SampleRefusedError
from device.settings.file import Settings
from hal.clock import Clock, SystemClock
from hal.errors import FrameError, LightError
from hal.interfaces.camera import Camera
from hal.interfaces.light import Light
from hal.interfaces.stage import Position, Stage

log = logging.getLogger(__name__)

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
        judge_led: told how bright the LED is; raises LedError when it is worn.
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
        judge_led: JudgeLed,
    ) -> None:
        self._camera = camera
        self._settings = settings
        self._scan = settings.scan
        self._plan = plan
        self._ledger = ledger
        self._note = note
        self._mover = Mover(stage, clock, settings.scan, cancel, beat)
        self._imager = Imager(
            camera,
            light,
            # The light lives in real time, also where the clock of a simulation is scaled.
            SystemClock(),
            ledger,
            gate=gate,
            lid_opened=lid_opened,
            retries=settings.scan.tile_retries,
            frame_timeout_ms=settings.camera.frame_timeout_ms,
            warm_up_pause_s=settings.light.warm_up_pause_s,
        )
        self._focuser = Focuser(self._imager, self._mover, ledger, settings.scan)
        self._watch = SharpnessWatch(settings.scan.refocus_sharpness_ratio)
        self._blank_glass = BlankGlass(
            camera,
            self._imager,
            self._mover,
            settings.scan,
            exposure_ms=settings.camera.exposure_ms,
            longest_pulse_ms=light.max_pulse_ms,
            note=note,
            judge_led=judge_led,
        )
        self._map: FocusMap | None = None
        self._shift_um = 0.0
        self._focus_trusted = True

    def home(self) -> None:
        """Home the stage when its position is not known, and set the camera."""
        self._camera.set_gain(self._settings.camera.gain_db)
        self._mover.home()

    def distrust_focus(self) -> None:
        """Check the focus at the next tile: somebody may have touched the slide."""
        self._focus_trusted = False

    def take_background(self) -> Background:
        """Set the exposure on blank glass and take its image.

        Raises SampleRefusedError as :meth:`BlankGlass.take_background`.
        """
        return self._blank_glass.take_background()

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

    def come_to_rest(self) -> None:
        """Wait until the stage, which may be on its way to the next tile, stands still."""
        self._mover.come_to_rest()

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
