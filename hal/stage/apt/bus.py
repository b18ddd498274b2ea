"""One serial port with APT controllers on it: messages in and out, sorted by channel."""

from __future__ import annotations

import logging
from collections.abc import Callable

from hal.errors import DeviceError
from hal.recorder.recorder import UNRECORDED, Recorder
from hal.stage.apt.messages import AptCodec, Complaint, Done, FrameReader, Info, Message, Status
from hal.stage.serial_port import SerialPort

log = logging.getLogger(__name__)

MOTHERBOARD = 0x11
NOBODY = 0x00
"""Some controllers send unasked messages under this address."""


class AptBus:
    """Sends orders and hands every message to the one who waits for it.

    A controller falls silent when its reports are not acknowledged: it takes the host for dead.
    Therefore each report is acknowledged as it is read.

    Args:
        port: device file of the port.
        baud: serial speed.
        setting: name of the setting that holds ``port``.
        codec: encodes and decodes.
        addresses: of the controllers, or their bays, on this port.
        recorder: notes the conversation.
    """

    def __init__(
        self,
        port: str,
        baud: int,
        setting: str,
        codec: AptCodec,
        addresses: frozenset[int],
        recorder: Recorder = UNRECORDED,
    ) -> None:
        self._port = SerialPort(port, baud, rtscts=True, setting=setting, recorder=recorder)
        self._codec = codec
        self._addresses = addresses
        self._reader = FrameReader(codec, addresses | {MOTHERBOARD, NOBODY})
        self._listeners: dict[tuple[int, int], Callable[[Status | Done], None]] = {}
        self.infos: dict[int, Info] = {}
        self.complaints: list[Complaint] = []

    @property
    def is_open(self) -> bool:
        """Whether the port is open."""
        return self._port.is_open

    def listen(self, address: int, channel: int, take: Callable[[Status | Done], None]) -> None:
        """Give what comes from a channel to ``take``."""
        self._listeners[address, channel] = take

    def open(self) -> None:
        """Open the port.  Raises DeviceError."""
        self.infos.clear()
        self.complaints.clear()
        self._reader.clear()
        self._port.open()

    def close(self) -> None:
        """Close the port.  Never raises; can be called twice."""
        self._port.close()

    def require_open(self) -> None:
        """Raise DeviceClosedError if the port is not open."""
        self._port.require_open()

    def send(self, message: str, address: int, **values: int) -> None:
        """Send one message; safe from any thread.

        Raises:
            DeviceError: the port is gone; it is closed.
            DeviceClosedError: it was not open.
        """
        try:
            self._port.write(self._codec.encode(message, address, **values))
        except DeviceError:
            self.close()
            raise

    def pump(self, *, blocking: bool) -> None:
        """Take what has come; ``blocking`` waits a moment for it.  Raises as :meth:`send`."""
        try:
            data = self._port.receive(blocking=blocking)
        except DeviceError:
            self.close()
            raise
        for frame in self._reader.feed(data):
            message = self._codec.decode(frame)
            if message is not None:
                self._take(message)

    def forget_partial(self) -> None:
        """Drop the beginning of a message whose rest did not come."""
        self._reader.clear()

    def _take(self, message: Message) -> None:
        match message:
            case Info():
                self.infos[message.source] = message
            case Complaint():
                log.warning("stage controller 0x%02x: %s", message.source, message.text)
                self.complaints.append(message)
            case Status() | Done():
                for address in self._addresses if message.source == NOBODY else {message.source}:
                    self.send("mot_ack_dcstatusupdate", address)
                listener = self._listeners.get((message.source, message.channel))
                if listener is not None:
                    listener(message)
