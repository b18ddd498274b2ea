"""The UV light on its line: a lease that a watchdog thread ends in real time."""

from __future__ import annotations

import atexit
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition, RLock, Thread

from hal.config import LightConfig
from hal.errors import DeviceClosedError, DeviceError, LedError, LightError
from hal.interfaces.light import Interlock
from hal.light.cuts import alone_cut, asked_cut, deadline_cut, latched_cut, lid_cut
from hal.light.led_current import LedCurrent
from hal.light.uv_line import UvLine

log = logging.getLogger(__name__)

INTERLOCK_POLL_S = 0.005
INTERLOCK_GAP_S = 0.01
CURRENT_POLL_S = 0.001


class GpioLight:
    """:class:`hal.interfaces.light.Light` on one output line, high = on.

    Deadlines run on the computer's own clock, whatever clock the rest of a simulation uses.
    A watchdog thread ends each pulse at its deadline or when the lid opens, even if the owner's
    thread is stuck; without a live watchdog there is no light.  A supervisor that owns the line
    takes it low at the deadline by itself.

    Args:
        line: the line, used under one lock.
        config: hard maximum.
        interlock: True while light is allowed; asked twice before and repeatedly during a pulse.
        current: of the LED; None if it is not read back.
    """

    def __init__(
        self,
        line: UvLine,
        config: LightConfig,
        interlock: Interlock,
        current: LedCurrent | None = None,
    ) -> None:
        self._line = line
        self._max_pulse_ms = config.max_pulse_ms
        self._interlock = interlock
        self._current = current
        # Re-entrant: a signal handler may call off() or close() in the thread that holds it.
        self._changed = Condition(RLock())
        self._watchdog: Thread | None = None
        self._open = False
        self._latched = False
        self._deadline_s: float | None = None
        self._on_since_s: float | None = None
        self._on_time_s = 0.0
        self._cut: LightError | LedError | None = None

    @property
    def max_pulse_ms(self) -> float:
        """Hard maximum of one pulse, ms."""
        return self._max_pulse_ms

    @property
    def is_on(self) -> bool:
        """Whether the line is driven high now."""
        return self._on_since_s is not None

    @property
    def on_time_s(self) -> float:
        """Seconds of light given since construction, real time."""
        with self._changed:
            since_s = self._on_since_s
            return self._on_time_s + (0.0 if since_s is None else time.monotonic() - since_s)

    def open(self) -> None:
        """Take the line, low from the first moment, and start the watchdog.

        Raises:
            LightError: the line fails or does not go low; there is no supervisor.
        """
        if self._open:
            return
        try:
            self._line.open()
            if self._current is not None:
                self._current.open()
        except LightError:
            self._line.close()
            raise
        atexit.register(self.close)
        with self._changed:
            self._open = True
            self._watchdog = Thread(target=self._watch, name="light-watchdog", daemon=True)
            self._watchdog.start()

    @contextmanager
    def pulse(self, deadline_ms: float) -> Iterator[None]:
        """Light on for the block, at most ``deadline_ms`` of real time.

        Raises: as :meth:`hal.interfaces.light.Light.pulse`.
        """
        self._require_open()
        # Written so that NaN, which no comparison accepts, is refused.
        if not 0.0 < deadline_ms <= self._max_pulse_ms:
            raise LightError(
                "LIGHT-LIMIT", deadline_ms=deadline_ms, max_pulse_ms=self._max_pulse_ms
            )
        self._require_lid()
        time.sleep(INTERLOCK_GAP_S)
        self._require_lid()
        self._find_line()
        self._switch_on(deadline_ms / 1000.0)
        try:
            yield
        finally:
            with self._changed:
                # A stalled watchdog must not make a late pulse look good.
                late = self._deadline_s is not None and time.monotonic() > self._deadline_s
                self._switch_off(deadline_cut() if late else None)
                cut, self._cut = self._cut, None
            if self._current is not None and self._open:
                cut = self._current.fault_when_off() or cut
        if cut is not None:
            raise cut

    def acknowledge_lid(self) -> None:
        """Allow light again after the lid was open; a person has closed it and said so.

        Raises:
            InterlockError: the lid is open.
        """
        if not self._lid_closed():
            self._latched = True
            raise lid_cut()
        self._latched = False

    def off(self) -> None:
        """Drive the line low now; safe from any thread, at any time, also when closed."""
        with self._changed:
            was_on = self.is_on
            self._switch_off(asked_cut() if was_on else None)

    def close(self) -> None:
        """Off and release the line.  Never raises; can be called twice."""
        with self._changed:
            if not self._open:
                return
            try:
                self._switch_off(asked_cut() if self.is_on else None)
            except DeviceError as error:
                log.critical("the UV line does not go low: %s", error)
            # Even if the line did not obey: once released, the external pull-down takes it low.
            self._line.close()
            if self._current is not None:
                self._current.close()
            self._open = False
            self._switch_off(None)
            self._changed.notify_all()
            watchdog = self._watchdog
        if watchdog is not None:
            watchdog.join(timeout=1.0)
        atexit.unregister(self.close)

    def _require_open(self) -> None:
        if not self._open:
            raise DeviceClosedError("LIGHT-CLOSED")

    def _require_lid(self) -> None:
        if not self._lid_closed():
            self._latched = True
            raise lid_cut()
        if self._latched:
            raise latched_cut()

    def _lid_closed(self) -> bool:
        """Ask the interlock; an interlock that fails counts as an open lid."""
        try:
            return self._interlock()
        except Exception:
            log.exception("the lid switch could not be read")
            return False

    def _find_line(self) -> None:
        """Take a line again that was lost: its supervisor may have been started again."""
        with self._changed:
            self._require_ready()
            if not self._line.is_live():
                self._line.open()

    def _require_ready(self) -> None:
        self._require_open()
        if self._watchdog is None or not self._watchdog.is_alive():
            raise LightError("LIGHT-WATCHDOG")
        if self.is_on:
            raise LightError("LIGHT-BUSY")

    def _switch_on(self, duration_s: float) -> None:
        with self._changed:
            self._require_ready()
            if self._current is not None:
                self._current.begin()
            self._cut = None
            now_s = time.monotonic()
            self._deadline_s = now_s + duration_s
            self._on_since_s = now_s
            # Before the line goes high: should it then not obey, the watchdog keeps trying.
            self._changed.notify_all()
            try:
                self._line.on(self._deadline_s)
                if not self.is_on:
                    # A signal handler has called off() meanwhile, perhaps too early.
                    self._line.off()
                if self._current is not None:
                    self._current.expect()
            except BaseException:
                self._switch_off(None)
                raise

    def _switch_off(self, cut: LightError | LedError | None) -> None:
        """Drive low and add up the time; the lock is held.  ``cut``: why a pulse ended early."""
        self._cut = self._cut or cut
        if self._open:
            self._line.off()
        if self._on_since_s is not None:
            self._on_time_s += time.monotonic() - self._on_since_s
            if self._open and not self._line.is_live():
                self._cut = self._cut or alone_cut()
        self._on_since_s = None
        self._deadline_s = None

    def _watch(self) -> None:
        """Sleep until a pulse begins; then check until it is over whether it has to end."""
        while True:
            with self._changed:
                while self._open and self._deadline_s is None:
                    self._changed.wait()
                if not self._open:
                    return
                deadline_s = self._deadline_s
            if deadline_s is None:
                continue
            # Checked without the lock, so that off() never waits for a slow switch.
            cut = self._reason_to_cut()
            with self._changed:
                if self._deadline_s != deadline_s:
                    continue
                if cut is None and not self._line.is_live():
                    cut = alone_cut()
                left_s = deadline_s - time.monotonic()
                if cut is None and left_s > 0.0:
                    self._changed.wait(min(left_s, self._poll_s()))
                    continue
                self._end_early(cut or deadline_cut())

    def _reason_to_cut(self) -> LightError | LedError | None:
        if not self._lid_closed():
            self._latched = True
            return lid_cut()
        return self._current.fault_when_on() if self._current is not None else None

    def _poll_s(self) -> float:
        waits_for_current = self._current is not None and not self._current.seen
        return CURRENT_POLL_S if waits_for_current else INTERLOCK_POLL_S

    def _end_early(self, cut: LightError | LedError) -> None:
        try:
            self._switch_off(cut)
        except DeviceError as error:
            # The next round tries again; the pulse stays overdue until the line obeys.
            log.critical("the UV line does not go low: %s", error)
            self._changed.wait(INTERLOCK_POLL_S)
