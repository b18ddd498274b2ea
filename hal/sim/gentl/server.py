"""The simulated camera's end of the wire: one socket, asked by the producer."""

from __future__ import annotations

import contextlib
import logging
import select
import socket
from functools import partial
from pathlib import Path
from threading import Condition, Thread

from hal.sim.gentl.faults import FaultSwitches
from hal.sim.gentl.features import Chip
from hal.sim.gentl.frames import FrameMaker, WorldAt
from hal.sim.gentl.protocol import (
    Operation,
    Request,
    Status,
    WireError,
    pack_info,
    receive_request,
    send_answer,
    send_frame,
)
from hal.sim.gentl.registers import DESCRIPTION_ADDRESS, Registers
from hal.sim.gentl.scenes import SceneMaker
from hal.sim.optics.camera import sensor_temperature_c

log = logging.getLogger(__name__)

_SEND_BUFFER_BYTES = 4 << 20
_HANG_UP_S = 1.5
"""Less than the producer waits for an answer."""


class CameraServer:
    """A camera behind ``path``, plugged in by :meth:`plug_in`.

    A connection that does not keep to the protocol is closed; the others go on.

    Args:
        chip: which camera.
        scenes: what it sees.
        world_at: where and in which light.
        path: of the socket.
        readout_ms: from exposure to frame.
        speed: simulated seconds per real second.
    """

    def __init__(
        self,
        chip: Chip,
        scenes: SceneMaker,
        world_at: WorldAt,
        path: Path,
        *,
        readout_ms: float = 0.0,
        speed: float = 1.0,
    ) -> None:
        self.faults = FaultSwitches()
        self._chip = chip
        self._path = path
        self._registers = Registers(
            chip, self._execute, lambda: sensor_temperature_c(self.frames.age_s)
        )
        self.frames = FrameMaker(
            self._registers,
            scenes,
            world_at,
            self.faults,
            chip=chip,
            readout_ms=readout_ms,
            speed=speed,
        )
        self._lock = Condition()
        self._listener: socket.socket | None = None
        self._connections: set[socket.socket] = set()
        self._owner: socket.socket | None = None
        self._stream: socket.socket | None = None

    def plug_in(self) -> None:
        """Connect the cable: the camera powers up and can be found."""
        with self._lock:
            if self._listener is not None:
                return
            self._registers.reset()
            self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._listener.bind(str(self._path))
            self._listener.listen()
            Thread(target=self._listen, args=(self._listener,), daemon=True).start()

    def unplug(self) -> None:
        """Pull the cable: the camera loses power and every connection ends at once."""
        with self._lock:
            listener, self._listener = self._listener, None
            connections = list(self._connections)
            self._owner = self._stream = None
        self._path.unlink(missing_ok=True)
        for connection in [*connections, *([listener] if listener is not None else [])]:
            # Wakes the thread that waits for it and closes it.
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        if listener is not None:
            listener.close()
        self.frames.stop()

    def close(self) -> None:
        """Unplug, and let the picture that is being made be the last."""
        self.unplug()
        self.frames.close()

    def _listen(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with self._lock:
                if self._listener is not listener:
                    connection.close()
                    return
                self._connections.add(connection)
            Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            while True:
                self._answer(connection, receive_request(connection))
        except WireError as error:
            log.info("connection over: %s", error)
        finally:
            with self._lock:
                self._connections.discard(connection)
                if connection is self._owner:
                    self.frames.stop()
                    self._registers.reset()
                    self._owner = None
                self._stream = None if connection is self._stream else self._stream
                self._lock.notify_all()
            connection.close()

    def _answer(self, connection: socket.socket, request: Request) -> None:
        match request.operation:
            case Operation.INFO:
                chip = self._chip
                texts = (chip.serial, chip.vendor, chip.model, chip.version, "")
                size = len(self._registers.description)
                send_answer(connection, Status.OK, pack_info(DESCRIPTION_ADDRESS, size, texts))
            case Operation.OPEN:
                send_answer(connection, self._open(connection))
            case Operation.STREAM:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
                # The host that has the answer starts the acquisition, and its frames go this way.
                with self._lock:
                    self._stream = connection
                send_answer(connection, Status.OK)
            case Operation.READ | Operation.WRITE:
                send_answer(connection, *self._access(connection, request))

    def _open(self, connection: socket.socket) -> Status:
        with self._lock:
            # The former owner may just have hung up without its thread having noticed.
            if self._owner is not None and not _hung_up(self._owner):
                return Status.RESOURCE_IN_USE
            if not self._lock.wait_for(lambda: self._owner is None, _HANG_UP_S):
                return Status.RESOURCE_IN_USE
            self._owner = connection
        self.frames.connected()
        return Status.OK

    def _access(self, connection: socket.socket, request: Request) -> tuple[Status, bytes]:
        if connection is not self._owner or self.faults.take("access_errors"):
            return Status.ACCESS_DENIED, b""
        if request.operation is Operation.WRITE:
            return self._registers.write(request.address, request.data), b""
        return self._registers.read(request.address, request.length)

    def _execute(self, command: str) -> None:
        match command:
            case "AcquisitionStart":
                self.frames.start(partial(send_frame, self._stream))
            case "AcquisitionStop":
                self.frames.stop()
            case "TriggerSoftware":
                self.frames.trigger()


def _hung_up(connection: socket.socket) -> bool:
    """Return whether the other side has closed; the kernel knows before any thread."""
    hearer = select.poll()
    hearer.register(connection, select.POLLRDHUP)
    return bool(hearer.poll(0))
