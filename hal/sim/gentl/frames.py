"""From a trigger to a frame on the wire: exposure, rendering, readout, faults."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from threading import Condition, Thread

import numpy as np
from numpy.typing import NDArray

from hal.sim.gentl.faults import FaultSwitches
from hal.sim.gentl.features import PIXEL_FORMATS, Chip
from hal.sim.gentl.packing import Bytes, full_scale, pack
from hal.sim.gentl.protocol import FrameHeader, WireError
from hal.sim.gentl.registers import Exposing, Registers
from hal.sim.gentl.scenes import SceneMaker
from hal.sim.optics.camera import Scene

log = logging.getLogger(__name__)

MOST_WAITING = 4
"""Exposures that wait for their rendering; a trigger beyond that is ignored."""

_LOOK_AGAIN_S = 0.05

Send = Callable[[FrameHeader, Bytes], None]
"""Sends a header and pixels; raises WireError when nobody listens any more."""

WorldAt = Callable[[float, float], tuple[tuple[float, float, float], float]]
"""Gives place in um and lit share for an interval of real time, both as they truly were."""


@dataclass(frozen=True)
class _Exposure:
    frame_id: int
    number: int
    start_s: float
    end_s: float
    how: Exposing
    send: Send


class FrameMaker:
    """Takes triggers and sends frames, on a thread of its own.

    Args:
        registers: say how frames are taken.
        scenes: what is seen.
        world_at: where the slide was and how much light there was.
        faults: the switches.
        chip: counts frames and pads lines in its way.
        readout_ms: from the end of the exposure to the frame, at least.
        speed: simulated seconds per real second.
    """

    def __init__(
        self,
        registers: Registers,
        scenes: SceneMaker,
        world_at: WorldAt,
        faults: FaultSwitches,
        *,
        chip: Chip,
        readout_ms: float = 0.0,
        speed: float = 1.0,
    ) -> None:
        self._registers = registers
        self._scenes = scenes
        self._world_at = world_at
        self._faults = faults
        self._send: Send | None = None
        self._chip = chip
        self._readout_s = readout_ms / 1000.0 / speed
        self._speed = speed
        self._changed = Condition()
        self._waiting: deque[_Exposure] = deque()
        self._scene: tuple[tuple[int, int], Scene] | None = None
        self._session = 0
        self._next_id = 0
        self._number = 0
        self._exposed_until_s = 0.0
        self._began_s = time.monotonic()
        self._last: tuple[FrameHeader, Bytes] | None = None
        self._closed = False
        self._thread = Thread(target=self._work, name="frames", daemon=True)
        self._thread.start()

    @property
    def age_s(self) -> float:
        """Simulated seconds since the camera was connected."""
        return (time.monotonic() - self._began_s) * self._speed

    def connected(self) -> None:
        """Count frames and time from the start again."""
        self._began_s = time.monotonic()
        self._number = 0

    def prepare(self, width_px: int, height_px: int) -> None:
        """Make the scene ready before a frame of this size is asked for."""
        if self._scene is None or self._scene[0] != (width_px, height_px):
            self._scene = ((width_px, height_px), self._scenes(width_px, height_px))

    def start(self, send: Send) -> None:
        """Begin to take frames and to number them; ``send`` takes them until the next start."""
        with self._changed:
            self._send = send
            self._next_id = self._chip.first_id
            self._changed.notify_all()

    def stop(self) -> None:
        """Take no more frames and forget those under way."""
        with self._changed:
            self._send = None
            self._session += 1
            self._waiting.clear()
            self._exposed_until_s = 0.0
            self._changed.notify_all()

    def close(self) -> None:
        """Stop, and end the thread when the picture it makes is done.  Can be called twice."""
        with self._changed:
            self._closed = True
        self.stop()
        self._thread.join()

    def trigger(self) -> None:
        """Begin an exposure now; during another one the trigger is ignored, as cameras do."""
        triggered = self._registers.entry("TriggerMode") == "On"
        from_software = self._registers.entry("TriggerSource") == "Software"
        with self._changed:
            if self._send is not None and triggered and from_software:
                self._expose(time.monotonic(), self._send)

    def _expose(self, now_s: float, send: Send) -> None:
        if now_s < self._exposed_until_s or len(self._waiting) >= MOST_WAITING:
            log.info("a trigger during an exposure was ignored")
            return
        how = self._registers.exposing()
        end_s = now_s + how.exposure_us / 1e6 / self._speed
        self._waiting.append(_Exposure(self._next_id, self._number, now_s, end_s, how, send))
        self._exposed_until_s = end_s
        self._next_id = (self._next_id + 1) % (1 << self._chip.id_bits)
        self._number += 1
        self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    if self._closed:
                        return
                    send = self._send
                    if send is not None and self._registers.entry("TriggerMode") != "On":
                        self._expose(time.monotonic(), send)
                    else:
                        # Switching the trigger off is not announced, so it is looked for.
                        self._changed.wait(None if send is None else _LOOK_AGAIN_S)
                exposure = self._waiting.popleft()
                session = self._session
            if self._pause_until(exposure.end_s, session):
                self._deliver(exposure, session)

    def _pause_until(self, end_s: float, session: int) -> bool:
        """Wait; return whether the frames are still wanted."""
        with self._changed:
            while (left_s := end_s - time.monotonic()) > 0.0 and session == self._session:
                self._changed.wait(left_s)
            return session == self._session

    def _deliver(self, exposure: _Exposure, session: int) -> None:
        stale = self._faults.take("stale")
        if self._faults.take("drop"):
            return
        ready_s = exposure.end_s + self._readout_s
        if self._faults.take("late"):
            ready_s += self._faults.late_ms / 1000.0 / self._speed
        made = self._last if stale else self._make(exposure)
        if made is None or not self._pause_until(ready_s, session):
            return
        if not stale:
            self._last = made
        try:
            exposure.send(*made)
        except WireError as error:
            log.info("frame %d went nowhere: %s", exposure.frame_id, error)

    def _make(self, exposure: _Exposure) -> tuple[FrameHeader, Bytes]:
        how = exposure.how
        pixels = self._pixels(exposure)
        incomplete = self._faults.take("incomplete")
        if incomplete:
            pixels = pixels.copy()
            pixels[pixels.shape[0] // 2 :] = 0
        if self._faults.take("wrong_size"):
            pixels = pixels[:-4]
        header = FrameHeader(
            frame_id=exposure.frame_id,
            timestamp_ns=round(exposure.start_s * 1e9),
            width=how.width_px,
            height=len(pixels),
            x_offset=how.x_offset_px,
            y_offset=how.y_offset_px,
            x_padding=self._chip.x_padding,
            pixel_format=PIXEL_FORMATS[how.pixel_format],
            incomplete=False,
        )
        return replace(header, incomplete=incomplete), pack(
            pixels, how.pixel_format, self._chip.x_padding
        )

    def _pixels(self, exposure: _Exposure) -> NDArray[np.uint16]:
        how = exposure.how
        self.prepare(how.width_px, how.height_px)
        if self._scene is None:
            raise RuntimeError("the scene was just prepared")
        place_um, lit = self._world_at(exposure.start_s, exposure.end_s)
        return self._scene[1].render(
            *place_um,
            exposure_ms=how.exposure_us / 1000.0,
            gain_db=how.gain_db,
            full_scale=full_scale(how.pixel_format),
            frame_seed=exposure.number,
            time_s=(exposure.start_s - self._began_s) * self._speed,
            lit_fraction=lit,
        )
