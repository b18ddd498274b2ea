"""The connection to one camera through harvesters: found, opened, frames fetched, taken apart."""

from __future__ import annotations

import contextlib
import gc
import logging
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np

from hal.camera.genicam.binding import Binding, first_words
from hal.camera.genicam.finding import FoundCamera, choose_camera
from hal.camera.genicam.nodes import WIRE, Nodes
from hal.camera.genicam.unpacking import Bytes
from hal.errors import CameraError
from hal.recorder.recorder import UNRECORDED, Recorder

log = logging.getLogger(__name__)

BUFFERS = 3
_LOOK_S = 1e-4
"""How long one look for a frame takes: the libraries never let other threads run meanwhile."""


@dataclass(frozen=True)
class Delivery:
    """A frame in a buffer of the camera: ``data`` is good only until the buffer is given back."""

    frame_id: int
    timestamp_ns: int
    width_px: int
    height_px: int
    x_padding: int
    pixel_format: int
    data: Bytes


class CameraLink:
    """One camera from :meth:`connect` to :meth:`close`; used by one thread.

    Every method raises CameraError; :meth:`close` never does.

    Attributes:
        incomplete: frames that came with parts missing; their buffers are back at the camera.
    """

    def __init__(self, binding: Binding, recorder: Recorder = UNRECORDED) -> None:
        self.incomplete = 0
        self._binding = binding
        self._recorder = recorder
        self._harvester: Any = None
        self._acquirer: Any = None
        self._nodes: Nodes | None = None

    @property
    def nodes(self) -> Nodes:
        """The camera's features."""
        if self._nodes is None:
            raise RuntimeError("not connected")
        return self._nodes

    @property
    def node_map(self) -> Any:
        """The camera's features as the library gives them."""
        return self._acquirer.remote_device.node_map

    def find(self, producers: Sequence[Path]) -> list[FoundCamera]:
        """Load the producers and return their cameras; one of several may be broken."""
        key = self._binding.core.ParameterKey
        self._harvester = self._binding.core.Harvester(
            config=self._binding.core.ParameterSet({key.LOGGER: self._binding.log})
        )
        broken: list[CameraError] = []
        for path in producers:
            try:
                self._probe(path)
            except CameraError as error:
                log.warning("%s", error.cause)
                broken.append(error)
            else:
                self._harvester.add_file(str(path))
        if len(broken) == len(producers):
            raise broken[0]
        with self._binding.translated("Looking for cameras"):
            self._harvester.update()
            return [self._described(info) for info in self._harvester.device_info_list]

    def connect(self, producers: Sequence[Path], serial: str) -> None:
        """Open the camera with ``serial``, or the only one."""
        index = choose_camera(self.find(producers), serial)
        with self._binding.translated("Opening the camera"):
            self._acquirer = _elsewhere(lambda: self._create(index))
        self._acquirer.add_callback(
            self._acquirer.Events.INCOMPLETE_BUFFER,
            _incomplete_counter(self._binding.core.Callback, self),
        )
        self._recorder.note(WIRE, "open", serial)
        self._nodes = Nodes(self._binding, self.node_map, self._recorder)

    def count_incomplete(self) -> None:
        """Count a frame that came with parts missing."""
        self.incomplete += 1
        self._recorder.note(WIRE, "incomplete", self.incomplete)

    def start(self) -> None:
        """Announce buffers and begin to take frames."""
        with self._binding.translated("Starting the acquisition"):
            self._acquirer.start()
        self._recorder.note(WIRE, "acquisition", "started")

    def stop(self) -> None:
        """End taking frames; those under way are lost."""
        with self._binding.translated("Stopping the acquisition"):
            self._acquirer.stop()
        self._recorder.note(WIRE, "acquisition", "stopped")

    @contextmanager
    def delivery(self) -> Iterator[Delivery | None]:
        """Look for a frame, and give its buffer back at the end; None if no frame has come yet."""
        with self._binding.translated("Fetching a frame"):
            buffer = self._acquirer.try_fetch(timeout=_LOOK_S, is_raw=True)
        if buffer is None:
            yield None
            return
        try:
            delivery = self._delivered(buffer)
            self._recorder.note(WIRE, "frame", _numbers(delivery))
            yield delivery
        finally:
            with self._binding.translated("Returning a buffer"):
                buffer.parent.queue_buffer(buffer)

    def close(self) -> None:
        """Stop, disconnect and unload the producers.  Never raises; can be called twice."""
        acquirer, harvester = self._acquirer, self._harvester
        self._acquirer = self._harvester = self._nodes = None
        if acquirer is not None:
            streams = list(acquirer.data_streams)
            if not self._tidily(acquirer.stop):
                # A camera that is gone cannot be told to stop, but its buffers must come back.
                kill = self._binding.gentl.ACQ_STOP_FLAGS_LIST.ACQ_STOP_FLAGS_KILL
                for stream in streams:
                    self._tidily(partial(stream.stop_acquisition, kill))
            self._tidily(lambda: _let_go_of_chunks(acquirer))
            # Leaving it as a context also takes it out of what runs at the end of the process.
            self._tidily(lambda: acquirer.__exit__(None, None, None))
            self._recorder.note(WIRE, "close", "")
        if harvester is not None:
            self._tidily(harvester.reset)

    def _tidily(self, act: Callable[[], object]) -> bool:
        try:
            act()
        except Exception as error:
            log.info("while closing the camera: %s", first_words(error))
            return False
        return True

    def _probe(self, path: Path) -> None:
        """Harvesters passes over a producer that does not load; here it says why."""
        producer = self._binding.gentl.GenTLProducer.create_producer()
        try:
            producer.open(str(path))
            producer.close()
        except self._binding.failures as error:
            raise CameraError(
                "CAMERA-PRODUCER-LOAD", path=path, reason=first_words(error)
            ) from error

    def _described(self, info: Any) -> FoundCamera:
        def text(name: str) -> str:
            with contextlib.suppress(*self._binding.failures):
                return str(getattr(info, name) or "")
            return ""

        statuses = self._binding.gentl.DEVICE_ACCESS_STATUS_LIST
        free = (statuses.DEVICE_ACCESS_STATUS_READWRITE, statuses.DEVICE_ACCESS_STATUS_UNKNOWN)
        access = text("access_status")
        return FoundCamera(
            serial=text("serial_number"),
            vendor=text("vendor"),
            model=text("model"),
            name=text("user_defined_name"),
            version=text("version"),
            producer=Path(self._producer_of(info)).name,
            access="free" if access in {str(int(status)) for status in free} else "in use",
        )

    def _producer_of(self, info: Any) -> str:
        with contextlib.suppress(AttributeError, *self._binding.failures):
            return str(info.parent.parent.parent.path_name)
        return ""

    def _create(self, index: int) -> Any:
        key = self._binding.core.ParameterKey
        return self._harvester.create(
            index,
            config=self._binding.core.ParameterSet(
                {
                    # A wait inside the libraries would stop every thread of the instrument.
                    key.TIMEOUT_PERIOD_ON_UPDATE_EVENT_DATA_CALL: 0,
                    key.ENABLE_AUTO_CHUNK_DATA_UPDATE: False,
                    key.NUM_BUFFERS_FOR_FETCH_CALL: BUFFERS,
                }
            ),
        )

    def _delivered(self, buffer: Any) -> Delivery:
        def optional(name: str, default: int = 0) -> int:
            with contextlib.suppress(*self._binding.failures):
                return int(getattr(buffer, name))
            return default

        with self._binding.translated("Reading what came with a frame"):
            data = np.frombuffer(buffer.raw_buffer, np.uint8)
            return Delivery(
                frame_id=optional("frame_id", -1),
                timestamp_ns=optional("timestamp_ns") or optional("timestamp"),
                width_px=int(buffer.width),
                height_px=int(buffer.height),
                x_padding=optional("padding_x"),
                pixel_format=int(buffer.pixel_format),
                data=data[optional("image_offset") :],
            )


def _elsewhere(make: Callable[[], Any]) -> Any:
    """Run ``make`` in a thread of its own and return its result.

    Harvesters takes over Ctrl-C when it opens a camera in the main thread, so it never does.
    """
    outcome: list[Any] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(make())
        except BaseException as error:
            failure.append(error)

    thread = Thread(target=run, name="camera-open")
    thread.start()
    thread.join()
    if failure:
        # A camera that was opened half way lives on in the traceback, and stays in use.
        traceback.clear_frames(failure[0].__traceback__)
        gc.collect()
        raise failure[0]
    return outcome[0]


def _let_go_of_chunks(acquirer: Any) -> None:
    """End the adapter for chunk data, which harvesters always makes and this driver never uses.

    Its finalizer holds it and a copy of the node map, 0.2 MB, until the process ends.
    """
    finalizer = getattr(getattr(acquirer, "_chunk_adapter", None), "_finalizer", None)
    if finalizer is not None:
        finalizer()


def _numbers(delivery: Delivery) -> dict[str, object]:
    """Return all of a frame but its pixels."""
    return {
        "id": delivery.frame_id,
        "timestamp_ns": delivery.timestamp_ns,
        "width_px": delivery.width_px,
        "height_px": delivery.height_px,
        "bytes": len(delivery.data),
    }


def _incomplete_counter(base: Any, link: CameraLink) -> Any:
    """Return a callback of harvesters that counts incomplete frames."""

    def emit(_: object, context: object = None) -> None:
        link.count_incomplete()

    return type("IncompleteCounter", (base,), {"emit": emit})()
