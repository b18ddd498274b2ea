"""A light supervisor inside the simulated instrument, so that one command starts everything."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from threading import Thread

from hal.config import LightConfig
from hal.interfaces.gpio import Gpio
from hal.light.supervisor import LightSupervisor


class InnerSupervisor:
    """The real supervisor on a thread; it dies with the process, and so do the lines in memory.

    Attributes:
        socket: where it listens.

    Args:
        config: of the light.
        gpio: provider of the line.
    """

    def __init__(self, config: LightConfig, gpio: Gpio) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="leukolux-"))
        self.socket = self._folder / "light.sock"
        self._supervisor = LightSupervisor(
            gpio, config.pin, self.socket, max_pulse_ms=config.max_pulse_ms
        )
        self._supervisor.open()
        self._thread = Thread(target=self._supervisor.serve, name="light-supervisor", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it.  Can be called twice."""
        if self._thread.is_alive():
            self._supervisor.stop()
            self._thread.join()
        self._supervisor.close()
        shutil.rmtree(self._folder, ignore_errors=True)
