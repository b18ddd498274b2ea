"""Starts camera processes next to a copy of the producer, and holds their switches."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any

import hal
from hal.errors import DeviceError
from hal.sim.gentl.build import build_producer
from hal.sim.gentl.frames import WorldAt
from hal.sim.gentl.world_link import WorldServer

START_TIMEOUT_S = 60.0
ANSWER_TIMEOUT_S = 10.0
_END_TIMEOUT_S = 5.0


class ProducerFolder:
    """A folder with a producer of its own: the cameras whose sockets lie in it are its cameras.

    Raises:
        DeviceError: the producer cannot be compiled.
    """

    def __init__(self) -> None:
        built = build_producer()
        # A short path: that of a socket may have 107 bytes.
        self._folder = tempfile.TemporaryDirectory(prefix="leukolux-camera-")
        self.path = Path(self._folder.name)
        # A copy, not a link: the loader tells libraries apart by their inode.
        self.producer = Path(shutil.copy(built, self.path / "leukolux.cti"))

    def close(self) -> None:
        """Remove the folder.  Can be called twice."""
        self._folder.cleanup()


class CameraProcess:
    """One simulated camera in a process of its own.

    Args:
        folder: of the producer.
        serial: number of the camera.
        options: further options of ``python -m hal.sim.gentl``.
        world_at: place and light of an interval; None is a place at rest in steady light.

    Raises:
        DeviceError: the process does not start.
    """

    def __init__(
        self,
        folder: ProducerFolder,
        serial: str = "SIM-1",
        options: Sequence[str] = (),
        world_at: WorldAt | None = None,
    ) -> None:
        self.serial = serial
        self.producer = folder.producer
        self._asking = Lock()
        self._answers: SimpleQueue[str] = SimpleQueue()
        command = [sys.executable, "-m", "hal.sim.gentl", "--folder", str(folder.path)]
        command += ["--serial", serial, *options]
        self._world = WorldServer(world_at) if world_at is not None else None
        inherited: tuple[int, ...] = ()
        if self._world is not None:
            inherited = (self._world.theirs.fileno(),)
            command += ["--world-fd", str(self._world.theirs.fileno())]
        self._process = subprocess.Popen(  # noqa: S603 (our own module in this interpreter)
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=inherited,
            text=True,
            cwd=Path(hal.__file__).parent.parent,
        )
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the process was given pipes")
        self._commands, self._said = self._process.stdin, self._process.stdout
        self._reader = Thread(target=self._read, name=f"camera-{serial}", daemon=True)
        self._reader.start()
        try:
            self._answer(START_TIMEOUT_S, expected="ready")
        except DeviceError:
            self.close()
            raise

    def inject(self, **counts: float) -> None:
        """Set switches of :class:`hal.sim.gentl.faults.WireFaults` by name, e.g. ``drop=2``.

        Raises:
            ValueError: there is no such switch.
            DeviceError: the process does not answer.
        """
        self._tell({"faults": counts})

    def unplug(self, unplugged: bool = True) -> None:
        """Pull the camera's cable, or put it back; reopen after that.  Raises DeviceError."""
        self._tell({"plugged": not unplugged})

    def exchange(self, **facts: object) -> None:
        """Put another camera in its place, with other facts of :class:`Chip`, e.g. ``x_padding=8``.

        Raises:
            ValueError: there is no such fact.
            DeviceError: the process does not answer.
        """
        self._tell({"exchange": facts})

    def close(self) -> None:
        """End the process.  Can be called twice."""
        with contextlib.suppress(OSError):
            self._commands.close()
        try:
            self._process.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        self._said.close()
        if self._world is not None:
            self._world.close()

    def _tell(self, command: dict[str, Any]) -> None:
        with self._asking:
            try:
                self._commands.write(json.dumps(command) + "\n")
                self._commands.flush()
            except (OSError, ValueError) as error:
                raise self._gone() from error
            self._answer(ANSWER_TIMEOUT_S, expected="done")

    def _answer(self, timeout_s: float, expected: str) -> None:
        try:
            answer = json.loads(self._answers.get(timeout=timeout_s) or "{}")
        except (Empty, json.JSONDecodeError) as error:
            raise self._gone() from error
        if "error" in answer:
            raise ValueError(answer["error"])
        if expected not in answer:
            raise self._gone()

    def _gone(self) -> DeviceError:
        return DeviceError("SIM-CAMERA", serial=self.serial)

    def _read(self) -> None:
        """Hand on the answers; the last one is empty and says that the process has ended."""
        for line in self._said:
            self._answers.put(line)
        self._answers.put("")
