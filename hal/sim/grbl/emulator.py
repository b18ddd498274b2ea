"""The emulated controller behind a pseudo-terminal, with its faults as switches."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock

from hal.clock import Clock
from hal.config import StageConfig
from hal.sim.grbl.firmware import GrblFirmware
from hal.sim.grbl.motion import Mechanics
from hal.sim.grbl.settings import GrblSettings
from hal.sim.serial.place_log import PlaceLog
from hal.sim.serial.pseudo_terminal import PseudoTerminal
from hal.sim.serial.trapezoid import Vector

_BOOTLOADER_S = 0.5


@dataclass
class WireFaults:
    """Faults between controller and host; set them through :class:`GrblEmulator`."""

    garbled_lines: int = 0
    lost_oks: int = 0
    lost_bytes: int = 0
    lost_from: int = 0
    silent: bool = False


class _GrblController:
    """An :class:`~hal.sim.serial.pseudo_terminal.EmulatedController`: firmware and USB chip."""

    def __init__(self, firmware: GrblFirmware, *, resets_on_open: bool) -> None:
        self.firmware = firmware
        self.faults = WireFaults()
        self._resets_on_open = resets_on_open

    @property
    def has_work(self) -> bool:
        return self.firmware.next_event_s() is not None

    def connected(self, now_s: float) -> None:
        self.firmware.advance(now_s)
        self.firmware.take_lines()  # said while nobody listened
        if self._resets_on_open:
            self.firmware.power_cycle(now_s, _BOOTLOADER_S)

    def powered_off(self, now_s: float) -> None:
        self.firmware.power_cycle(now_s)

    def exchange(self, data: bytes, now_s: float) -> list[bytes]:
        if self.faults.lost_bytes > 0 and len(data) > 1:
            first = self.faults.lost_from
            data = data[:first] + data[first + self.faults.lost_bytes :]
            self.faults.lost_bytes = 0
        self.firmware.receive(b"" if self.faults.silent else data, now_s)
        lines = self.firmware.take_lines()
        said = [] if self.faults.silent else [self._on_the_wire(line) for line in lines]
        return [line + b"\r\n" for line in said if line is not None]

    def _on_the_wire(self, line: str) -> bytes | None:
        """Return what becomes of a line on its way, or None if it is lost."""
        if line == "ok" and self.faults.lost_oks > 0:
            self.faults.lost_oks -= 1
            return None
        said = line.encode("ascii")
        if self.faults.garbled_lines > 0 and said:
            self.faults.garbled_lines -= 1
            return b"\xfe" + said[1 : max(1, len(said) - 2)] + b"\xc3"
        return said


class GrblEmulator:
    """A stage on an emulated serial port: :attr:`port` opens like any other.

    All switches are safe from any thread.

    Args:
        config: profile the controller is set to; travel and homing pull-off give the stage frame.
        clock: paces motion and delays.
        start_um: where the slide is at power-up, stage frame.
        mechanics: backlash and stopping error.
        seed: of the stopping errors.
        resets_on_open: whether opening the port restarts the controller, as most do.
    """

    def __init__(
        self,
        config: StageConfig,
        clock: Clock,
        start_um: Vector = (40_000.0, 40_000.0, 8_000.0),
        mechanics: Mechanics | None = None,
        seed: int = 0,
        *,
        resets_on_open: bool = True,
    ) -> None:
        settings = GrblSettings.for_stage(config)
        self._clock = clock
        self._lock = Lock()
        self._origin_mm = tuple(settings[27] - length for length in settings.axes(130))
        x, y, z = (
            min(at / 1000.0 + origin, 0.0)
            for at, origin in zip(start_um, self._origin_mm, strict=True)
        )
        self._firmware = GrblFirmware(settings, (x, y, z), mechanics or Mechanics(), seed)
        self._firmware.power_cycle(clock.monotonic_s())
        controller = _GrblController(self._firmware, resets_on_open=resets_on_open)
        self._faults = controller.faults
        self._places = PlaceLog()
        self._terminal = PseudoTerminal(controller, clock, self._lock, "stage", self._note_place)

    @property
    def port(self) -> str:
        """Path to give to the driver; stays the same when unplugged and plugged in again."""
        return self._terminal.port

    def true_position_um(self) -> Vector:
        """Return where the slide really is, stage frame, um: with backlash and stopping error."""
        with self._lock:
            return self._true_um(self._clock.monotonic_s())

    def true_position_um_at(self, time_s: float) -> Vector:
        """Return where the slide was at ``time_s`` of the clock, when it was at rest then."""
        with self._lock:
            return self._places.at(time_s, self._true_um(self._clock.monotonic_s()))

    def garble(self, lines: int = 1) -> None:
        """Damage the next ``lines`` lines to the host."""
        with self._lock:
            self._faults.garbled_lines = lines

    def lose_oks(self, count: int = 1) -> None:
        """Swallow the next ``count`` acknowledgements."""
        with self._lock:
            self._faults.lost_oks = count

    def lose_bytes(self, count: int, first: int = 0) -> None:
        """Let ``count`` bytes of the host's next line never reach the controller."""
        with self._lock:
            self._faults.lost_bytes, self._faults.lost_from = count, first

    def set_silent(self, silent: bool) -> None:
        """Neither hear nor speak, while axes in motion go on."""
        with self._lock:
            self._faults.silent = silent

    def restart(self) -> None:
        """Let the microcontroller restart by itself."""
        with self._lock:
            self._firmware.power_cycle(self._clock.monotonic_s())

    def press_limit(self, axis: str) -> None:
        """Close the limit switch of ``axis`` (X, Y or Z)."""
        with self._lock:
            now_s = self._clock.monotonic_s()
            self._firmware.advance(now_s)
            self._firmware.press_limit(axis, now_s)

    def release_limit(self, axis: str) -> None:
        """Open the limit switch of ``axis`` again."""
        with self._lock:
            self._firmware.release_limit(axis)

    def wear(self, mechanics: Mechanics) -> None:
        """Let the mechanics be worn: backlash, stopping error, slip."""
        with self._lock:
            self._firmware.wear(mechanics)

    def fail_next_homing(self, alarm: int = 9) -> None:
        """Let the next homing end in ``ALARM:alarm`` (8 or 9)."""
        with self._lock:
            self._firmware.fail_next_homing = alarm

    def unplug(self) -> None:
        """Pull the cable: the port is gone and the controller has no power."""
        self._terminal.unplug()

    def plug_in(self) -> None:
        """Put the cable back."""
        self._terminal.plug_in()

    def close(self) -> None:
        """Stop the thread and remove the port.  Can be called twice."""
        self._terminal.close()

    def _true_um(self, now_s: float) -> Vector:
        place_mm = self._firmware.true_mm(now_s)
        x, y, z = (
            (at - origin) * 1000.0 for at, origin in zip(place_mm, self._origin_mm, strict=True)
        )
        return (x, y, z)

    def _note_place(self, now_s: float) -> None:
        self._places.note(now_s, self._true_um(now_s))
