"""One sample, from Start until no further tile is wanted."""

from __future__ import annotations

import logging
from typing import Any

from scipy.special import gammaincinv

from device.acquisition.acquirer import Acquisition
from device.acquisition.plan import make_plan
from device.analysis.picture import PictureScale
from device.analysis.pipeline import POLL_S, AnalysisPipeline
from device.analysis.registry import CellRegistry
from device.analysis.tile import Tile
from device.analysis.tile_analyzer import TileAnalysis
from device.engine.run.counting import CellCounter
from device.engine.run.records_wait import RecordsWait
from device.engine.run.result import RunFacts
from device.engine.run.tile_picture_writer import TilePictureWriter
from device.engine.state.progress import Counts, Progress
from device.engine.state.services import Services
from device.engine.state.states import Event
from device.engine.state.waiting_sample import WaitingSample
from device.errors import SampleRefusedError
from device.imaging.field import Field
from device.imaging.imager import DoseLimitError
from device.imaging.rig import ImagingRig, RigUser
from device.records.record_types import TileState
from device.records.records import TileEntry
from device.results.differential import MINIMUM_COUNT
from device.status import StopReason
from hal.errors import (
    Cancelled,
    DeviceError,
    FrameError,
    InterlockError,
    LightError,
    StageError,
)

log = logging.getLogger(__name__)

LID_ERROR = InterlockError("RUN-LID-OPENED")
HOPELESS_TILES = 100
"""Tiles after which the number of cells on the whole area can be judged."""


class Run:
    """Prepares, scans, holds while paused; leaves states after scanning to its caller.

    Attributes:
        services: shared parts of the instrument, as they were at the start.
        records_wait: makes writing wait for other programs.

    Args:
        services: shared parts of the instrument.
        run_id: of the run in the records.
        sample: as it was entered.
        versions: of software and networks.
    """

    def __init__(
        self,
        services: Services,
        run_id: int,
        sample: WaitingSample,
        versions: dict[str, str],
    ) -> None:
        self.services = services
        self.id = run_id
        self.control_lot = sample.control_lot
        self._sample = sample
        self._versions = versions
        settings = services.settings
        self._scan = settings.scan
        self._plan = make_plan(settings.scan, settings.camera)
        self.progress = Progress(services.snapshots)
        self._counter: CellCounter | None = None
        self._pipeline: AnalysisPipeline | None = None
        self._picture_writer: TilePictureWriter | None = None
        self._scanning = False
        self._held_s = 0.0
        self._lid_openings = 0
        self._started_s = services.clock.monotonic_s()
        user = RigUser(
            sample_id=sample.sample_id,
            cancel=services.requests.cancel,
            checkpoint=self._pass_checkpoint,
            lid_opened=lambda: self._hold(Event.LID_OPENED),
            waiting=services.heartbeat,
            note=self._note,
        )
        self._rig = ImagingRig(settings, services.hardware, services.records, services.clock, user)
        self._acquisition = Acquisition(self._rig, self._plan)
        self.records_wait = RecordsWait(
            services,
            check=self._check_wanted,
            come_to_rest=self._rig.mover.come_to_rest,
            scanning=lambda: self._scanning,
        )

    def execute(self) -> StopReason:
        """Prepare and scan; return why the scan ended.

        Raises:
            SampleRefusedError: the sample cannot be measured.
            Cancelled: abort or shutdown was asked for.
            LeukoluxError: the run failed.
        """
        self.services.records.set_plan(self.id, len(self._plan.fields))
        self._note("calibration", {"used": self.services.calibration.document()})
        self.progress.plan(len(self._plan.fields))
        with self._rig:
            self._prepare()
            self.services.machine.fire(Event.PREPARED, activity="Scanning.")
            self._scanning = True
            return self._scan_plan()

    def drain(self) -> None:
        """Wait until all tiles taken are analysed, kept and placed, and all light is logged.

        Nothing more is acquired.

        Raises what made the analysis fail, or RecordsError.
        """
        self.records_wait.end()
        self._drain()
        if self._counter is not None:
            self._counter.settle()

    def _drain(self) -> None:
        if self._pipeline is not None:
            self._pipeline.drain(self.records_wait.attend)
        if self._picture_writer is not None:
            self._picture_writer.close(self.services.heartbeat)
        self._rig.light_log.enter_rest()

    def close(self) -> None:
        """End the threads of analysis and pictures."""
        if self._pipeline is not None:
            self._pipeline.close()
        if self._picture_writer is not None:
            self._picture_writer.close(self.services.heartbeat)

    def facts(self) -> RunFacts:
        """Return what the result is computed from."""
        counts = self.progress.counts
        return RunFacts(
            run_id=self.id,
            sample_id=self._sample.sample_id,
            operator=self._sample.operator,
            counts=counts,
            area_mm2=self._plan.area_mm2(counts.analysed),
            lid_openings=self._lid_openings,
            dose={**self._rig.ledger.summary(), **self._rig.light_log.summary()},
            versions=self._versions,
            control_lot=self.control_lot,
            duration_s=self.services.clock.monotonic_s() - self._started_s,
            calibration=self.services.calibration.document(),
            notes=self.services.calibration.flags(),
        )

    def _prepare(self) -> None:
        services = self.services
        network_um = services.models[0].pixel_um
        scale = PictureScale(services.settings.camera.pixel_um, network_um)
        self._say("Homing the stage.")
        self._rig.mover.home()
        self._say("Taking the background on blank glass.")
        background = self._rig.glass.take_background()
        self._say("Measuring the focus over the smear.")
        self._acquisition.map_focus()
        counter = self._counter = CellCounter(
            self.id,
            CellRegistry(scale.pixel_um, services.settings.analysis.merge_distance_um),
            services.records,
            self._rig.ledger,
            self.progress,
            services.latest,
            services.events,
        )
        picture_writer = TilePictureWriter(
            self.id,
            services.records.tile_pictures,
            services.settings.records,
            background,
            network_um,
            self._note,
        )
        self._picture_writer = picture_writer

        def accept(tile: Tile, analysis: TileAnalysis) -> None:
            with self.records_wait.analysis(pipeline.excuse):
                counter.accept(tile, analysis)
            picture_writer.offer(tile, analysis)

        pipeline = self._pipeline = AnalysisPipeline(
            [
                services.make_analyzer(models, services.settings.analysis, background)
                for models in services.models
            ],
            self._scan.queue_tiles,
            accept,
        )

    def _scan_plan(self) -> StopReason:
        missing_in_row = 0
        sequence = 0
        fields = self._plan.fields
        for field, following in zip(fields, [*fields[1:], None], strict=True):
            self._check_wanted()
            counts = self.progress.counts
            if counts.classified >= self._scan.target_cells:
                return StopReason.ENOUGH_CELLS
            self._refuse_hopeless(counts)
            begin_s, paused_s = self.services.clock.monotonic_s(), self._paused_s()
            try:
                self._take(field, sequence, following)
            except (FrameError, LightError, DoseLimitError) as error:
                self._report_missing(field, error)
                missing_in_row += 1
                if missing_in_row > self._scan.missing_tiles_in_row:
                    raise
            else:
                missing_in_row = 0
                sequence += 1
            paused_s = self._paused_s() - paused_s
            spent_s = self.services.clock.monotonic_s() - begin_s - paused_s
            self.progress.acquire(taken=missing_in_row == 0, spent_s=spent_s)
        self._drain()
        if self.progress.counts.classified >= self._scan.target_cells:
            return StopReason.ENOUGH_CELLS
        return StopReason.END_OF_AREA

    def _take(self, field: Field, sequence: int, following: Field | None) -> None:
        tile = self._acquisition.take(field, sequence, following)
        if self._pipeline is not None:
            self._pipeline.submit(tile, self.records_wait.attend)

    def _report_missing(self, field: Field, error: DeviceError) -> None:
        log.warning("row %d column %d is missing: %s", field.row, field.column, error)
        key = (field.row, field.column)
        self.services.records.add_tile(
            self.id,
            TileEntry(
                row=field.row,
                column=field.column,
                x_um=field.x_um,
                y_um=field.y_um,
                state=TileState.MISSING,
                usable=False,
                exposures=self._rig.ledger.exposures(key),
                dose_mj_per_cm2=self._rig.ledger.dose_mj_per_cm2(key),
                error=error.as_dict(),
            ),
        )

    def _refuse_hopeless(self, counts: Counts) -> None:
        """Raise SampleRefusedError if the area cannot hold enough cells for any percentage."""
        wanted = min(MINIMUM_COUNT, self._scan.target_cells)
        if counts.analysed < HOPELESS_TILES:
            return
        # Upper end of the exact 95 % interval of a Poisson count (Garwood, 1936).
        most = float(gammaincinv(counts.classified + 1, 0.975))
        expected = most * counts.planned / counts.analysed
        if expected < wanted:
            raise SampleRefusedError(
                "SAMPLE-TOO-FEW-CELLS",
                classified=counts.classified,
                analysed=counts.analysed,
                expected=expected,
                wanted=wanted,
            )

    def _check_wanted(self) -> None:
        self.services.heartbeat()
        if self.services.requests.cancel.is_set():
            raise Cancelled("The run")
        if self._pipeline is not None:
            self._pipeline.check()

    def _pass_checkpoint(self) -> None:
        """Resolve requests; called between exposures only."""
        self.records_wait.attend()
        if self.records_wait.lid_opened:
            self._hold(Event.LID_OPENED)
        if self.services.requests.take(Event.PAUSE):
            self._hold(Event.PAUSE)

    def _paused_s(self) -> float:
        return self._held_s + self.records_wait.held_s

    def _hold(self, why: Event) -> None:
        """Stay paused until a person resumes with the lid closed."""
        services = self.services
        begin_s, waited_s = services.clock.monotonic_s(), self.records_wait.held_s
        activity = services.snapshots.snapshot.activity
        services.requests.take(Event.RESUME)
        if why is Event.LID_OPENED:
            self._enter_lid_opened()
        else:
            services.machine.fire(why, activity="Pausing: the tiles taken are being analysed.")
            if self._pipeline is not None:
                self._pipeline.drain(self.records_wait.attend)
            services.machine.fire(Event.HELD, activity="Paused.")
        self._wait_for_resume()
        self.records_wait.lid_opened = False
        services.requests.take(Event.PAUSE)
        if not services.hardware.stage.homed:
            raise StageError("RUN-POSITION-LOST")
        services.machine.fire(Event.RESUME, activity=activity, error=None)
        if self._scanning:
            services.machine.fire(Event.PREPARED)
        waited_s = self.records_wait.held_s - waited_s
        self._held_s += services.clock.monotonic_s() - begin_s - waited_s

    def _wait_for_resume(self) -> None:
        services = self.services
        while True:
            self._check_wanted()
            closed = services.hardware.panel.lid_closed
            known_closed = services.snapshots.snapshot.lid_closed
            if known_closed and not closed:
                self._enter_lid_opened()
            elif closed != known_closed:
                services.snapshots.put(lid_closed=closed)
            if services.requests.take(Event.RESUME) and closed and self._lid_acknowledged():
                return
            services.requests.wait(POLL_S)

    def _lid_acknowledged(self) -> bool:
        """Let the light work again on a person's word; False if the lid has just opened."""
        try:
            self.services.hardware.light.acknowledge_lid()
        except InterlockError:
            return False
        return True

    def _enter_lid_opened(self) -> None:
        self._acquisition.distrust_focus()
        self._lid_openings += 1
        self._note("lid_opened", {})
        self.services.machine.fire(
            Event.LID_OPENED,
            activity="Paused: the lid was opened.",
            error=LID_ERROR,
            lid_closed=False,
        )

    def _say(self, activity: str) -> None:
        self.services.heartbeat()
        self.services.snapshots.put(activity=activity)

    def _note(self, kind: str, data: dict[str, Any]) -> None:
        self.services.records.add_event(self.id, kind, data)
