"""Takes the UV line low for a process that has ended, whether a supervisor owns it or not.

A supervisor that listens drives the line low, reads it back and says so.  One that does not answer
keeps the line from everybody else: it is killed, which frees the line.
"""

from __future__ import annotations

import logging
import os
import select
import signal
from pathlib import Path
from typing import Final

from hal.clock import Clock
from hal.errors import LightError, SilentSupervisorError, SupervisorError
from hal.interfaces.gpio import Gpio
from hal.light.supervised_line import SupervisedLine
from hal.light.supervisor import pid_file
from hal.light.switch_off import RETRY_S, supervisor_listens, take_line_low

log = logging.getLogger(__name__)

END_MS: Final = 2000.0
"""How long to wait for the end of a killed supervisor: the kernel frees its memory first."""


def line_low_or_fail(gpio: Gpio, pin: int, path: Path, clock: Clock, patience_s: float) -> bool:
    """Drive the line low, directly or through its supervisor, and read it back.

    A supervisor that does not answer in time is killed, once.

    Args:
        gpio: provider of the line, for when no supervisor owns it.
        pin: the line that enables the LED driver.
        path: of the supervisor's socket.
        clock: real time.
        patience_s: how long to try again while the line or the supervisor is in use; starts again
            after a supervisor was killed.

    Returns:
        Whether a supervisor owns the line.

    Raises:
        LightError: the line fails (LIGHT-LINE), is taken (LIGHT-LINE-TAKEN) or reads high
            (LIGHT-STUCK), or nobody could read it back (LIGHT-UNVERIFIED and codes that begin so).
    """
    end_s = clock.monotonic_s() + patience_s
    killed = False
    while True:
        try:
            return _low_now(gpio, pin, path, clock)
        except SilentSupervisorError as error:
            if killed:
                raise LightError("LIGHT-UNVERIFIED-SILENT", pin=pin) from error
            _kill_supervisor(path, pin)
            killed, end_s = True, clock.monotonic_s() + patience_s
        except SupervisorError as error:
            if clock.monotonic_s() >= end_s:
                raise LightError("LIGHT-UNVERIFIED", pin=pin, reason=error.cause) from error
        except LightError:
            if clock.monotonic_s() >= end_s:
                raise
        clock.sleep(RETRY_S)


def _low_now(gpio: Gpio, pin: int, path: Path, clock: Clock) -> bool:
    """Let whoever can drive the line low and read it back; return whether it is a supervisor."""
    if not supervisor_listens(path):
        take_line_low(gpio, pin, clock, 0.0)
        return False
    line = SupervisedLine(path, gpio, pin)
    try:
        line.connect()
    finally:
        line.close()
    return True


def _kill_supervisor(path: Path, pin: int) -> None:
    """End the process that listens at ``path``; raises LightError if it does not end."""
    try:
        pid = int(pid_file(path).read_text(encoding="ascii"))
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except (OSError, ValueError) as error:
        raise LightError("LIGHT-UNVERIFIED-PROCESS", pin=pin, reason=error) from error
    try:
        # The number was read before the descriptor was opened, so it could be another process's by
        # now: only the process that wrote it still listens.
        if not supervisor_listens(path) or int(pid_file(path).read_text(encoding="ascii")) != pid:
            return
        log.critical("the light supervisor (process %d) does not answer and is killed", pid)
        signal.pidfd_send_signal(process, signal.SIGKILL)
        poll = select.poll()
        poll.register(process, select.POLLIN)
        if not poll.poll(END_MS):
            raise LightError("LIGHT-UNVERIFIED-ALIVE", pin=pin, pid=pid)
    except (OSError, ValueError) as error:
        raise LightError("LIGHT-UNVERIFIED-KILL", pin=pin, pid=pid, reason=error) from error
    finally:
        os.close(process)
