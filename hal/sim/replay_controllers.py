"""A recording in the place of the stage's controllers, under the whole simulated instrument."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from hal.apt.messages import AptCodec
from hal.apt.messages import Status as AptStatus
from hal.clock import Clock
from hal.config import AptConfig, StageConfig
from hal.errors import DeviceError, InputError, LeukoluxError, SettingsError, StageError
from hal.grbl.frame import StageFrame
from hal.grbl.wire import Status, parse_line
from hal.recording import TRANSCRIPT_WIRE, read_recording
from hal.sim.grbl_motion import Vector
from hal.sim.place_log import PlaceLog
from hal.sim.replay_emulator import ReplayEmulator
from hal.stage import Position, Stage, Travel

Z_WIRE = "apt.port_z"


class ReplayControllers:
    """Ports behind which controllers say what they once said; the slide is where they say it is.

    Args:
        path: of the recording.
        config: must name the driver that was recorded.
        apt: must be as it was then.
        clock: paces the answers.

    Raises:
        InputError: the recording cannot be read, or has no conversation with a stage.
        SettingsError: it is of the other driver.
    """

    def __init__(self, path: Path, config: StageConfig, apt: AptConfig, clock: Clock) -> None:
        self._clock = clock
        self._config = config
        self._apt = apt
        self._places = PlaceLog()
        self._replay = ReplayEmulator(read_recording(path), clock, before=self._note_place)
        try:
            self._check_driver(path)
            self._codec = AptCodec() if config.driver == "apt" else None
        except LeukoluxError:
            self.close()
            raise

    def _check_driver(self, path: Path) -> None:
        recorded = "apt" if self._replay.speaks_apt else "grbl"
        if recorded != self._config.driver:
            raise SettingsError(
                f'The recording {path} is of stage.driver = "{recorded}", not '
                f'"{self._config.driver}".',
                remedy="Use the settings it was made with; an archive of `leukolux diagnose` has "
                "them.",
            )

    @property
    def port(self) -> str:
        """Serial port to give to the driver; that of x and y for APT."""
        return self._replay.ports[TRANSCRIPT_WIRE]

    @property
    def port_z(self) -> str:
        """Serial port of z for APT, which may be the same."""
        return self._replay.ports.get(Z_WIRE, self.port)

    def check(self) -> None:
        """Raise StageError when the driver sent what was not recorded; names the line."""
        try:
            self._replay.check()
        except InputError as error:
            raise StageError(error.cause, remedy=error.remedy, code=error.error_code) from error

    def true_position_um(self) -> Vector:
        """Return where the controllers last said the slide is, stage frame, um."""
        with self._replay.lock:
            return self._place_um()

    def true_position_um_at(self, time_s: float) -> Vector:
        """Return where the slide was at ``time_s`` of the clock, when it was at rest then."""
        with self._replay.lock:
            return self._places.at(time_s, self._place_um())

    def close(self) -> None:
        """Remove the ports.  Can be called twice."""
        self._replay.close()

    def _note_place(self, now_s: float) -> None:
        self._places.note(now_s, self._place_um())

    def _place_um(self) -> Vector:
        reports = self._replay.last_reports()
        return self._of_apt(reports) if self._codec is not None else self._of_grbl(reports)

    def _of_grbl(self, reports: list[bytes]) -> Vector:
        for report in reports:
            said = parse_line(report.decode("latin-1").strip())
            if isinstance(said, Status):
                place = StageFrame(self._config).position(said.machine_mm)
                return place.x_um, place.y_um, place.z_um
        return 0.0, 0.0, 0.0

    def _of_apt(self, reports: list[bytes]) -> Vector:
        told = [self._codec.decode(report) for report in reports] if self._codec else []
        counts = {(s.source, s.channel): s.position_counts for s in told if type(s) is AptStatus}
        apt = self._apt
        x_um, y_um, z_um = (
            counts.get(where, 0) / per_mm * 1000.0
            for where, per_mm in (
                ((apt.address_x, apt.channel_x), apt.counts_per_mm_xy),
                ((apt.address_y, apt.channel_y), apt.counts_per_mm_xy),
                ((apt.address_z, apt.channel_z), apt.counts_per_mm_z),
            )
        )
        return x_um, y_um, z_um


class WatchedStage:
    """:class:`hal.stage.Stage` whose driver talks to a recording.

    After a deviation the controllers are silent; that this is why is told instead of the silence.
    """

    def __init__(self, stage: Stage, controllers: ReplayControllers) -> None:
        self._stage = stage
        self._controllers = controllers

    @property
    def travel(self) -> Travel:
        """Reachable box, um."""
        return self._stage.travel

    @property
    def homed(self) -> bool:
        """Whether the position is known."""
        return self._stage.homed

    def open(self) -> None:
        """Connect.  Raises: as :meth:`hal.stage.Stage.open`."""
        with self._deviation_told():
            self._stage.open()

    def home(self, cancel: Event | None = None) -> None:
        """Run the homing cycle.  Raises: as :meth:`hal.stage.Stage.home`."""
        with self._deviation_told():
            self._stage.home(cancel)

    def move_to(
        self,
        x_um: float | None = None,
        y_um: float | None = None,
        z_um: float | None = None,
        cancel: Event | None = None,
    ) -> Position:
        """Move and return the place.  Raises: as :meth:`hal.stage.Stage.move_to`."""
        with self._deviation_told():
            return self._stage.move_to(x_um, y_um, z_um, cancel)

    def position(self) -> Position:
        """Ask where the stage is, um.  Raises: as :meth:`hal.stage.Stage.position`."""
        with self._deviation_told():
            return self._stage.position()

    def stop(self) -> None:
        """Stop any motion; safe from any thread."""
        self._stage.stop()

    def close(self) -> None:
        """Stop and disconnect.  Never raises; can be called twice."""
        self._stage.close()

    @contextmanager
    def _deviation_told(self) -> Iterator[None]:
        try:
            yield
        except DeviceError:
            self._controllers.check()
            raise
