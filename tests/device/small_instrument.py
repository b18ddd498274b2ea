"""The whole instrument on simulated hardware, small and fast, with an analysis tests can hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event as Signal
from threading import Lock
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from device.analysis.flatfield import Background
from device.analysis.quality import TileQuality, shrink
from device.analysis.tile import Tile
from device.analysis.tile_analyzer import TileAnalysis
from device.engine.state.states import State
from device.instrument import Instrument
from device.records.reader import BUSY_TIMEOUT_S
from device.records.record_types import RunRecord
from device.records.records import Records
from device.results.cell import FIVE_TYPES, THUMBNAIL_PX, Cell, CellKind
from device.settings.file import Settings, parse_settings
from device.settings.sections import AnalysisConfig
from device.status import Status
from device.system.service_manager import Watchdog
from hal.clock import SystemClock
from hal.config import CameraConfig
from hal.factory import Hardware, build_hardware
from hal.interfaces.camera import Camera, Frame, PixelFormat
from hal.sim.optics.camera import SimCamera
from hal.sim.world import SimulatedWorld
from models.providers import ON_CPU, Execution
from models.runtime import ModelSet

SPEED = 200.0
# A busy computer is slow; what never comes fails late.
TIMEOUT_S = 100.0


@dataclass(frozen=True)
class FakeModels:
    """Networks that only have versions; the analyzers here look at nothing."""

    versions: Mapping[str, str]
    execution: Execution = ON_CPU
    pixel_um: float = 0.165


class ScriptedAnalyzer:
    """Finds one cell in the middle of every tile; waits where a test tells it to."""

    def __init__(self, script: Script) -> None:
        self._script = script

    def analyze(self, tile: Tile) -> TileAnalysis:
        self._script.meet(tile)
        blank = np.zeros((THUMBNAIL_PX, THUMBNAIL_PX), np.uint8)
        kind = FIVE_TYPES[tile.sequence % len(FIVE_TYPES)]
        cell = Cell(
            tile_sequence=tile.sequence,
            x_um=tile.x_um,
            y_um=tile.y_um,
            x_px=tile.pixels.shape[1] / 2,
            y_px=tile.pixels.shape[0] / 2,
            bbox_px=(100, 70, 150, 120),
            kind=kind,
            probabilities={k: float(k is kind) for k in CellKind},
            identified=True,
            area_um2=100.0,
            nucleus_area_um2=50.0,
            thumbnail=blank,
            mask=blank,
        )
        return TileAnalysis(
            sequence=tile.sequence,
            quality=TileQuality(1.0, 0.3, 0.0, usable=True, reason=None),
            cells=(cell,) if self._script.finds_cells else (),
            red_cell_count=7,
            platelet_count=1,
            elapsed_ms=1.0,
            preview=shrink((tile.pixels // 16).astype(np.uint8)),
        )


class Script:
    """What the analysis does: goes on when let, fails at a tile, finds cells or none."""

    def __init__(self) -> None:
        self.let = Signal()
        self.let.set()
        self.waiting = Signal()
        self.fails_at: int | None = None
        self.failure: Exception = ValueError("a bug in the analysis")
        self.finds_cells = True
        self.tiles: list[Tile] = []
        self._lock = Lock()

    def meet(self, tile: Tile) -> None:
        with self._lock:
            self.tiles.append(tile)
        if not self.let.is_set():
            self.waiting.set()
        assert self.let.wait(TIMEOUT_S)
        if tile.sequence == self.fails_at:
            raise self.failure

    def make_analyzer(
        self, models: ModelSet, config: AnalysisConfig, background: Background
    ) -> ScriptedAnalyzer:
        return ScriptedAnalyzer(self)


class CheapScene:
    """Discs on the smear's focal surface, blurred by defocus; nothing beside the smear."""

    SIDE_PX = 1024

    def __init__(self, world: SimulatedWorld, config: CameraConfig) -> None:
        self.gain = 1.0
        self._smear = world.smear
        self._pixel_um = config.pixel_um
        self._rows = np.arange(config.height_px)[:, None]
        self._columns = np.arange(config.width_px)[None, :]
        rng = np.random.default_rng(1)
        self._canvas = np.full((self.SIDE_PX, self.SIDE_PX), 1.0, np.float32)
        for x, y, radius in rng.integers((0, 0, 8), (self.SIDE_PX, self.SIDE_PX, 25), (600, 3)):
            cv2.circle(self._canvas, (int(x), int(y)), int(radius), 0.7, -1)

    def render(
        self,
        x_um: float,
        y_um: float,
        z_um: float,
        *,
        exposure_ms: float,
        gain_db: float = 0.0,
        full_scale: int = 4095,
        frame_seed: int = 0,
        time_s: float = 0.0,
        lit_fraction: float = 1.0,
    ) -> NDArray[np.uint16]:
        rows = (self._rows + round(y_um / self._pixel_um)) % self.SIDE_PX
        columns = (self._columns + round(x_um / self._pixel_um)) % self.SIDE_PX
        image = self._canvas[rows, columns]
        if self._smear.density_factor(x_um, y_um) > 0:
            defocus_um = z_um - self._smear.focus_z_um(x_um, y_um)
            image = np.asarray(cv2.GaussianBlur(image, (0, 0), 0.7 + min(abs(defocus_um), 20.0)))
        else:
            image = np.ones_like(image)
        light = self.gain * 0.7 * exposure_ms / 50.0 * lit_fraction
        return np.clip(light * image * full_scale, 0, full_scale).astype(np.uint16)


class WatchedCamera:
    """Passes everything on to the camera; notes where each exposure was; calls back at some."""

    def __init__(self, camera: Camera, place_um: Callable[[], tuple[float, float, float]]) -> None:
        self._camera = camera
        self._place_um = place_um
        self.at: dict[int, Callable[[], None]] = {}
        self.places_um: list[tuple[float, float, float]] = []
        self.exposure_us = 0.0

    @property
    def exposures(self) -> int:
        return len(self.places_um)

    @property
    def width_px(self) -> int:
        return self._camera.width_px

    @property
    def height_px(self) -> int:
        return self._camera.height_px

    @property
    def pixel_format(self) -> PixelFormat:
        return self._camera.pixel_format

    def open(self) -> None:
        self._camera.open()

    def set_exposure(self, exposure_us: float) -> None:
        self.exposure_us = exposure_us
        self._camera.set_exposure(exposure_us)

    def set_gain(self, gain_db: float) -> None:
        self._camera.set_gain(gain_db)

    def trigger(self) -> None:
        self.places_um.append(self._place_um())
        action = self.at.pop(self.exposures, None)
        self._camera.trigger()
        if action is not None:
            action()

    def wait_exposed(self, cancel: Signal | None = None) -> None:
        self._camera.wait_exposed(cancel)

    def read(self, timeout_ms: float, cancel: Signal | None = None) -> Frame:
        return self._camera.read(timeout_ms, cancel)

    def close(self) -> None:
        self._camera.close()


class SmallInstrument:
    """One instrument with everything a test may reach for."""

    def __init__(
        self,
        folder: Path,
        *,
        physics: bool,
        watchdog: Watchdog | None = None,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
        **scan: Any,
    ) -> None:
        self.settings = small_settings(folder, **scan)
        clock = SystemClock(SPEED)
        hardware = build_hardware(self.settings, clock)
        assert hardware.simulation is not None
        self.world: SimulatedWorld = hardware.simulation
        self.scene = CheapScene(self.world, self.settings.camera)
        self.sensor = self.world.camera if physics else self._cheap_camera(clock)
        self.camera = WatchedCamera(self.sensor, self.world.emulator.true_position_um)
        self.hardware: Hardware = replace(hardware, camera=self.camera)
        self.records = Records(folder / "records.db", clock, busy_timeout_s=busy_timeout_s)
        self.script = Script()
        self.instrument = Instrument(
            self.settings,
            self.hardware,
            self.records,
            clock,
            load_models=lambda: cast(ModelSet, FakeModels({"scout": "5c07"})),
            make_analyzer=self.script.make_analyzer,
            watchdog=watchdog,
        )

    def _cheap_camera(self, clock: SystemClock) -> SimCamera:
        config, pin = self.settings.camera, self.settings.light.pin
        return SimCamera(
            config,
            self.scene,
            self.world.emulator.true_position_um,
            lambda start_s, end_s: self.world.gpio.high_fraction(pin, start_s, end_s),
            clock,
        )

    def idle(self) -> Status:
        return self.instrument.wait_for(State.IDLE, timeout_s=TIMEOUT_S)

    def start(self, sample_id: str = "S-1") -> int:
        self.idle()
        return self.instrument.start(sample_id)

    def wait_for(self, *states: State) -> Status:
        return self.instrument.wait_for(*states, timeout_s=TIMEOUT_S)

    def wait_until(self, condition: Callable[[Status], bool]) -> Status:
        with self.instrument.events.subscribe() as events:
            status = self.instrument.status()
            for _ in range(10_000):
                if condition(status):
                    return status
                events.next(0.05)
                status = self.instrument.status()
        raise AssertionError(f"never happened; last {status}")

    def run(self, run_id: int) -> RunRecord:
        with self.records.reader() as reader:
            run = reader.run(run_id)
        assert run is not None
        return run

    def result(self, run_id: int) -> dict[str, Any]:
        with self.records.reader() as reader:
            result = reader.result(run_id)
        assert result is not None
        return result

    def light_is_off(self) -> bool:
        return not self.hardware.light.is_on


def small_settings(
    folder: Path,
    panel: dict[str, Any] | None = None,
    light: dict[str, Any] | None = None,
    calibration: dict[str, Any] | None = None,
    stage: dict[str, Any] | None = None,
    **scan: Any,
) -> Settings:
    return parse_settings(
        {
            "panel": panel or {},
            "light": light or {},
            "calibration": calibration or {},
            "camera": {"width_px": 256, "height_px": 192},
            "stage": {"feed_xy_mm_per_min": 1500.0, **(stage or {})},
            "scan": {
                "left_um": 36_000.0,
                "top_um": 44_000.0,
                "width_um": 150.0,
                "height_um": 100.0,
                "overlap_um": 21.0,
                "background_frames": 2,
                "focus_anchors": 5,
                "target_cells": 20,
                "settle_xy_ms": 10.0,
                "settle_z_ms": 5.0,
                **scan,
            },
            "records": {"directory": str(folder), "min_free_mb": 1.0},
        }
    )


@contextmanager
def small_instrument(
    folder: Path, *, physics: bool = False, **scan: Any
) -> Iterator[SmallInstrument]:
    """Open an instrument on its simulated stage, light and panel.

    Args:
        folder: of its records.
        physics: whether the camera sees the virtual smear, or cheap discs.
        scan: settings of the scan; ``panel``, ``light``, ``calibration``, ``stage``: other tables;
            ``busy_timeout_s``: of the records.
    """
    made = SmallInstrument(folder, physics=physics, **scan)
    made.instrument.open()
    try:
        yield made
    finally:
        made.script.let.set()
        made.instrument.close()
        made.records.close()


def hold_analysis_at_first_tile(rig: SmallInstrument) -> int:
    """Start a run whose first tile stays in analysis; return the run."""
    rig.script.let.clear()
    run_id = rig.start()
    assert rig.script.waiting.wait(30.0)
    return run_id
