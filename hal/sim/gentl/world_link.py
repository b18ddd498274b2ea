"""The camera process asks the instrument's world where the slide was and whether there was light.

One question and one answer per frame, on a socket pair: times of the computer's monotonic clock,
which all its processes share.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import struct
from threading import Thread

from hal.sim.gentl.frames import WorldAt
from hal.sim.gentl.protocol import WireError, receive

log = logging.getLogger(__name__)

_QUESTION = struct.Struct("<4sdd")
_ANSWER = struct.Struct("<4sdddd")
_MAGIC = b"LXw1"


class WorldClient:
    """The camera's side.

    Args:
        connection: one end of the pair.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def ask(self, start_s: float, end_s: float) -> tuple[tuple[float, float, float], float]:
        """Return place in um and lit share; if the world has ended, end this process too."""
        try:
            self._connection.sendall(_QUESTION.pack(_MAGIC, start_s, end_s))
            magic, x_um, y_um, z_um, lit = _ANSWER.unpack(receive(self._connection, _ANSWER.size))
        except (OSError, WireError):
            # Nobody is left to take pictures for.
            os._exit(0)
        if magic != _MAGIC:
            raise WireError("not an answer of the world")
        return (x_um, y_um, z_um), lit


class WorldServer:
    """The world's side, answering on a thread of its own.

    Args:
        world_at: place and lit share of an interval of real time.
    """

    def __init__(self, world_at: WorldAt) -> None:
        self._world_at = world_at
        self._ours, self.theirs = socket.socketpair()
        self._thread = Thread(target=self._serve, name="camera-world", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread.  Can be called twice."""
        with contextlib.suppress(OSError):
            self._ours.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._ours.close()
        self.theirs.close()

    def _serve(self) -> None:
        try:
            while True:
                place_um, lit = self._world_at(*self._question())
                self._ours.sendall(_ANSWER.pack(_MAGIC, *place_um, lit))
        except (OSError, WireError) as error:
            log.info("the camera asks no more: %s", error)
            # A camera that still asks must not wait for an answer that never comes.
            with contextlib.suppress(OSError):
                self._ours.shutdown(socket.SHUT_RDWR)

    def _question(self) -> tuple[float, float]:
        magic, start_s, end_s = _QUESTION.unpack(receive(self._ours, _QUESTION.size))
        if magic != _MAGIC:
            raise WireError("not a question about the world")
        return start_s, end_s
