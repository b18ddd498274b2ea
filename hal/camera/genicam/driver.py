"""A GenICam camera with a software trigger: :class:`hal.interfaces.camera.Camera` on real hardware.

The GenICam libraries never release the interpreter: a wait inside them would stop the light's
watchdog with everything else.  So nothing waits there; frames are looked for in short moments
with real pauses in between.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, RLock, current_thread

from hal.camera.genicam.binding import load_binding
from hal.camera.genicam.finding import FoundCamera, find_producers
from hal.camera.genicam.link import BUFFERS, CameraLink, Delivery
from hal.camera.genicam.listing import FeatureInfo, read_features
from hal.camera.genicam.nodes import WIRE
from hal.camera.genicam.setup import check_width, configure
from hal.camera.genicam.unpacking import PFNC_VALUES, unpack
from hal.clock import Clock, SystemClock
from hal.config import CameraConfig
from hal.errors import CameraError, DeviceError, FrameError
from hal.interfaces.camera import Frame, PixelFormat
from hal.interfaces.failures import (
    camera_closed,
    frame_incomplete,
    frame_late,
    frame_stale,
    not_triggered,
)
from hal.recorder.recorder import UNRECORDED, Recorder

log = logging.getLogger(__name__)

POLL_S = 0.001
TEMPERATURE_AGE_S = 1.0


@dataclass(frozen=True)
class _Triggered:
    """An exposure whose frame has not been read yet."""

    number: int
    time_s: float
    exposure_us: float
    gain_db: float
    incomplete_before: int


class GenicamCamera:
    """Opened and used by one thread; only :meth:`close` may be called from any.

    Frames are numbered by trigger, from 0 at each opening.  If the frame of a trigger does not
    come, the acquisition is restarted, so that a late frame can never be taken for a later one.  It
    is restarted at once, while the light is off.

    Args:
        config: which camera, and how it is set.
        clock: paces the exposure; scaled only if the camera is simulated.
        link_clock: real time, in which frames travel.
        recorder: notes what is read, set, ordered and delivered, but no pixels.

    Raises:
        DeviceError: the GenICam libraries are not installed.
    """

    def __init__(
        self,
        config: CameraConfig,
        clock: Clock,
        link_clock: Clock | None = None,
        recorder: Recorder = UNRECORDED,
    ) -> None:
        self._binding = load_binding()
        self._config = config
        self._clock = clock
        self._link_clock = link_clock if link_clock is not None else SystemClock()
        self._recorder = recorder
        self._using = RLock()
        self._owner: str | None = None
        self._owner_id: int | None = None
        self._link: CameraLink | None = None
        self._reset()

    def _reset(self) -> None:
        self._exposure_us = self._config.exposure_ms * 1000.0
        self._gain_db = self._config.gain_db
        self._triggers = 0
        self._pending: _Triggered | None = None
        self._strays = 0
        self._last_id: int | None = None
        self._last_timestamp_ns = -1
        self._temperature: tuple[float, float | None] | None = None

    @property
    def width_px(self) -> int:
        """Image width."""
        return self._config.width_px

    @property
    def height_px(self) -> int:
        """Image height."""
        return self._config.height_px

    @property
    def pixel_format(self) -> PixelFormat:
        """Format of the frames."""
        return PixelFormat(self._config.pixel_format)

    def open(self) -> None:
        """Find the camera, set it, and start the acquisition.

        Raises:
            CameraError: there is no such camera, it refuses a setting, or another thread has it.
        """
        if self._link is not None:
            self._require_owner()
            return
        with self._using, self._errors_noted():
            check_width(self._config)
            link = CameraLink(self._binding, self._recorder)
            self._reset()
            try:
                link.connect(find_producers(self._config.producer), self._config.serial)
                self._exposure_us, self._gain_db = configure(link.nodes, self._config)
                link.start()
            except BaseException:
                link.close()
                raise
            self._link = link
            self._owner, self._owner_id = current_thread().name, current_thread().ident

    def set_exposure(self, exposure_us: float) -> None:
        """Set the exposure of the following frames, us.  Raises CameraError if out of range."""
        with self._used() as link:
            link.nodes.put("ExposureTime", exposure_us)
            self._exposure_us = link.nodes.number("ExposureTime")

    def set_gain(self, gain_db: float) -> None:
        """Set the gain of the following frames, dB.  Raises CameraError if out of range."""
        with self._used() as link:
            link.nodes.put("Gain", gain_db)
            self._gain_db = link.nodes.number("Gain")

    def trigger(self) -> None:
        """Start one exposure now; a frame that nobody read is given up.

        Raises: as :meth:`hal.interfaces.camera.Camera.trigger`.
        """
        with self._used() as link:
            if self._pending is not None:
                self._give_up(link, self._pending)
            self._drop_old_frames(link)
            link.nodes.execute("TriggerSoftware")
            self._pending = _Triggered(
                number=self._triggers,
                time_s=self._clock.monotonic_s(),
                exposure_us=self._exposure_us,
                gain_db=self._gain_db,
                incomplete_before=link.incomplete,
            )
            self._triggers += 1

    def wait_exposed(self, cancel: Event | None = None) -> None:
        """Block until the triggered exposure has ended.  No call goes to the camera meanwhile.

        Raises: as :meth:`hal.interfaces.camera.Camera.wait_exposed`.
        """
        with self._used():
            self._finish_exposure(self._require_pending(), cancel)

    def read(self, timeout_ms: float, cancel: Event | None = None) -> Frame:
        """Return the frame of the last trigger.  Raises: as :meth:`Camera.read`."""
        with self._used() as link:
            pending = self._require_pending()
            self._finish_exposure(pending, cancel)
            try:
                return self._wait_for_frame(link, pending, timeout_ms, cancel)
            except FrameError:
                # Now, while the light is off, and not before the next exposure.
                self._pending = None
                self._restart(link)
                raise

    def find(self) -> list[FoundCamera]:
        """Return the cameras there are, whichever is configured; only while closed.

        Raises:
            CameraError: there is no producer, or this camera is open.
        """
        with self._using:
            if self._link is not None:
                raise CameraError("CAMERA-OPEN")
            link = CameraLink(self._binding)
            try:
                return link.find(find_producers(self._config.producer))
            finally:
                link.close()

    def features(self) -> list[FeatureInfo]:
        """Return every feature of the open camera.  Raises CameraError, DeviceClosedError."""
        with self._used() as link:
            return read_features(self._binding, link.node_map)

    def close(self) -> None:
        """Stop and disconnect.  Never raises; can be called twice.

        From another thread it waits for a call under way, which ends at its own deadline.
        """
        with self._using:
            link, self._link = self._link, None
            self._pending = None
            if link is not None:
                link.close()

    @contextmanager
    def _used(self) -> Iterator[CameraLink]:
        # Checked before the lock: another thread gets its error at once and waits for no frame.
        if self._link is not None:
            self._require_owner()
        with self._using, self._errors_noted():
            if self._link is None:
                raise camera_closed()
            yield self._link

    @contextmanager
    def _errors_noted(self) -> Iterator[None]:
        try:
            yield
        except DeviceError as error:
            self._recorder.note(WIRE, "error", error.as_dict())
            raise

    def _require_owner(self) -> None:
        if current_thread().ident != self._owner_id:
            raise CameraError("CAMERA-THREAD", owner=self._owner, user=current_thread().name)

    def _require_pending(self) -> _Triggered:
        if self._pending is None:
            raise not_triggered()
        return self._pending

    def _finish_exposure(self, pending: _Triggered, cancel: Event | None) -> None:
        lasts_s = pending.exposure_us / 1e6 + self._config.trigger_delay_ms / 1000.0
        left_s = pending.time_s + lasts_s - self._clock.monotonic_s()
        if left_s > 0.0 or cancel is not None:
            self._clock.sleep(left_s, cancel)

    def _give_up(self, link: CameraLink, pending: _Triggered) -> None:
        """Drop the frame that nobody read; if it has not come yet, see that it never does."""
        self._pending = None
        came = self._drain(link) > 0 or link.incomplete > pending.incomplete_before
        if not came:
            self._restart(link)

    def _restart(self, link: CameraLink) -> None:
        """Forget every frame that is under way: buffers and counters begin from nothing."""
        self._pending = None
        link.stop()
        link.start()
        self._last_id = None
        self._last_timestamp_ns = -1

    def _drop_old_frames(self, link: CameraLink) -> None:
        """Take out what lies in the buffers before a trigger: nobody asked for it.

        Raises CameraError if that happens twice in a row: then the camera runs without triggers.
        """
        strays = self._drain(link)
        if not strays:
            self._strays = 0
            return
        log.warning("%d frames came without a trigger", strays)
        self._strays += 1
        if self._strays > 1:
            raise CameraError("CAMERA-UNTRIGGERED")
        self._restart(link)

    def _drain(self, link: CameraLink) -> int:
        """Drop the frames that have come, at most as many as fit the buffers; return how many."""
        for dropped in range(BUFFERS):
            with link.delivery() as delivery:
                if delivery is None:
                    return dropped
                self._seen(delivery)
        return BUFFERS

    def _is_old(self, delivery: Delivery) -> bool:
        if delivery.timestamp_ns > 0:
            return delivery.timestamp_ns <= self._last_timestamp_ns
        return self._last_id is not None and delivery.frame_id <= self._last_id

    def _seen(self, delivery: Delivery) -> None:
        self._last_id = delivery.frame_id
        self._last_timestamp_ns = max(self._last_timestamp_ns, delivery.timestamp_ns)

    def _wait_for_frame(
        self, link: CameraLink, pending: _Triggered, timeout_ms: float, cancel: Event | None
    ) -> Frame:
        deadline_s = self._link_clock.monotonic_s() + timeout_ms / 1000.0
        old_id: int | None = None
        while True:
            with link.delivery() as delivery:
                if delivery is not None:
                    if not self._is_old(delivery):
                        return self._received(link, pending, delivery)
                    old_id = delivery.frame_id
                    log.warning("an old frame was dropped: %d", old_id)
            if link.incomplete > pending.incomplete_before:
                raise frame_incomplete(pending.number)
            if self._link_clock.monotonic_s() >= deadline_s:
                # A pulled cable raises no event: only reading a register shows it.
                link.nodes.fresh_number("ExposureTime")
                if old_id is None:
                    raise frame_late(pending.number, timeout_ms)
                raise frame_stale(old_id, pending.number)
            self._link_clock.sleep(POLL_S, cancel)

    def _received(self, link: CameraLink, pending: _Triggered, delivery: Delivery) -> Frame:
        """Check that the frame is the one that was triggered, and copy it out of its buffer."""
        expected = None if self._last_id is None else self._last_id + 1
        if expected is not None and not _follows(delivery.frame_id, expected):
            raise FrameError("CAMERA-FRAME-SKIPPED", came=delivery.frame_id, expected=expected)
        got = (delivery.width_px, delivery.height_px, delivery.pixel_format)
        wanted = (self.width_px, self.height_px, PFNC_VALUES[self.pixel_format])
        if got != wanted:
            raise FrameError("CAMERA-FRAME-FORMAT", frame=pending.number, got=got, wanted=wanted)
        try:
            pixels = unpack(
                delivery.data,
                delivery.width_px,
                delivery.height_px,
                delivery.x_padding,
                self.pixel_format,
            )
        except ValueError as error:
            raise FrameError("CAMERA-FRAME-DAMAGED", frame=pending.number, reason=error) from error
        self._seen(delivery)
        self._pending = None
        return Frame(
            pixels=pixels,
            frame_id=pending.number,
            timestamp_ns=delivery.timestamp_ns,
            exposure_us=pending.exposure_us,
            gain_db=pending.gain_db,
            pixel_format=self.pixel_format,
            temperature_c=self._temperature_c(link),
        )

    def _temperature_c(self, link: CameraLink) -> float | None:
        now_s = self._link_clock.monotonic_s()
        if self._temperature is None or now_s - self._temperature[0] >= TEMPERATURE_AGE_S:
            known = link.nodes.has("DeviceTemperature")
            value = link.nodes.fresh_number("DeviceTemperature") if known else None
            self._temperature = (now_s, value)
        return self._temperature[1]


def _follows(frame_id: int, expected: int) -> bool:
    """Return whether a frame has the expected number, or -1 if the camera does not number.

    Counters of 16 bits go from 65535 to 0 or 1.
    """
    return frame_id in (expected, -1) or (expected == 1 << 16 and frame_id in (0, 1))
