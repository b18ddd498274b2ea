"""The emulated controller behind a pseudo-terminal, with its faults as switches."""

from __future__ import annotations

import contextlib
import os
import select
import tempfile
import termios
import tty
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock, Thread

from hal.clock import Clock
from hal.config import StageConfig
from hal.sim.grbl_firmware import GrblFirmware
from hal.sim.grbl_motion import Mechanics, Vector
from hal.sim.grbl_settings import GrblSettings

_TICK_S = 0.001
_IDLE_TICK_S = 0.02
_BOOTLOADER_S = 0.5


@dataclass
class WireFaults:
    """Faults between controller and host; set them through :class:`GrblEmulator`."""

    garbled_lines: int = 0
    lost_oks: int = 0
    silent: bool = False


class GrblEmulator:
    """A stage on a serial port that is not there: :attr:`port` opens like any other.

    Opening the port restarts the controller, as it does on the usual boards.  All switches are
    safe from any thread.

    Args:
        config: profile the controller is set to; travel and homing pull-off give the stage frame.
        clock: paces motion and delays.
        start_um: where the slide is at power-up, stage frame.
        mechanics: play and stopping error.
        seed: of the stopping errors.
    """

    def __init__(
        self,
        config: StageConfig,
        clock: Clock,
        start_um: Vector = (40_000.0, 40_000.0, 8_000.0),
        mechanics: Mechanics | None = None,
        seed: int = 0,
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
        self._faults = WireFaults()
        self._stop = Event()
        self._folder = tempfile.TemporaryDirectory(prefix="leukolux-stage-")
        self._link = Path(self._folder.name) / "tty"
        self._master: int | None = None
        self._connected = False
        self.plug_in()
        self._thread = Thread(target=self._run, name="grbl-emulator", daemon=True)
        self._thread.start()

    @property
    def port(self) -> str:
        """Path to give to the driver; stays the same when unplugged and plugged in again."""
        return str(self._link)

    def true_position_um(self) -> Vector:
        """Return where the slide really is, stage frame, um: with play and stopping error."""
        with self._lock:
            place_mm = self._firmware.true_mm(self._clock.monotonic_s())
        x, y, z = (
            (at - origin) * 1000.0 for at, origin in zip(place_mm, self._origin_mm, strict=True)
        )
        return (x, y, z)

    def garble(self, lines: int = 1) -> None:
        """Damage the next ``lines`` lines to the host."""
        with self._lock:
            self._faults.garbled_lines = lines

    def lose_oks(self, count: int = 1) -> None:
        """Swallow the next ``count`` acknowledgements."""
        with self._lock:
            self._faults.lost_oks = count

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
        """Let the mechanics be worn: play, stopping error, slip."""
        with self._lock:
            self._firmware.wear(mechanics)

    def fail_next_homing(self, alarm: int = 9) -> None:
        """Let the next homing end in ``ALARM:alarm`` (8 or 9)."""
        with self._lock:
            self._firmware.fail_next_homing = alarm

    def unplug(self) -> None:
        """Pull the cable: the port is gone and the board has no power."""
        with self._lock:
            self._firmware.power_cycle(self._clock.monotonic_s())
            self._close_master()
            self._link.unlink(missing_ok=True)

    def plug_in(self) -> None:
        """Put the cable back."""
        with self._lock:
            if self._master is not None:
                return
            self._master, slave = os.openpty()
            # Raw before anybody opens it, or the terminal would echo the banner back to the board.
            tty.setraw(slave, termios.TCSANOW)
            os.set_blocking(self._master, False)
            self._link.symlink_to(os.ttyname(slave))
            # Closed again, so that the master end can tell whether somebody has the port open.
            os.close(slave)
            self._connected = False

    def close(self) -> None:
        """Stop the thread and remove the port.  Can be called twice."""
        self._stop.set()
        self._thread.join()
        with self._lock:
            self._close_master()
        self._folder.cleanup()

    def _close_master(self) -> None:
        if self._master is not None:
            os.close(self._master)
            self._master = None

    def _run(self) -> None:
        poller = select.poll()
        registered: int | None = None
        while not self._stop.is_set():
            with self._lock:
                master = self._master
                due = self._firmware.next_event_s() is not None
            if master != registered:
                if registered is not None:
                    with contextlib.suppress(KeyError):
                        poller.unregister(registered)
                if master is not None:
                    poller.register(master, select.POLLIN)
                registered = master
            if master is None or not self._serve(master, poller, _TICK_S if due else _IDLE_TICK_S):
                self._stop.wait(_IDLE_TICK_S)

    def _serve(self, master: int, poller: select.poll, tick_s: float) -> bool:
        """Wait up to one tick for bytes and answer; return whether a host is connected."""
        events = dict(poller.poll(tick_s * 1000.0)).get(master, 0)
        with self._lock:
            if self._master != master:
                return False
            now_s = self._clock.monotonic_s()
            if events & select.POLLHUP:
                self._connected = False
                return False
            if not self._connected:
                self._connected = True
                self._firmware.power_cycle(now_s, _BOOTLOADER_S)
            data = b""
            if events & select.POLLIN:
                with contextlib.suppress(OSError):
                    data = os.read(master, 4096)
            self._firmware.receive(b"" if self._faults.silent else data, now_s)
            self._answer(master)
        return True

    def _answer(self, master: int) -> None:
        """Write what the firmware said, as far as the faults let it through."""
        for line in self._firmware.take_lines():
            if self._faults.silent:
                continue
            if line == "ok" and self._faults.lost_oks > 0:
                self._faults.lost_oks -= 1
                continue
            data = line.encode("ascii")
            if self._faults.garbled_lines > 0 and data:
                self._faults.garbled_lines -= 1
                data = b"\xfe" + data[1 : max(1, len(data) - 2)] + b"\xc3"
            # A host that does not read loses bytes, as on a line without flow control.
            with contextlib.suppress(OSError):
                os.write(master, data + b"\r\n")
