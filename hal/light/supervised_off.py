"""Has the UV line low for a process that has ended, whether a supervisor owns the line or not.

A supervisor that listens drives the line low, reads it back and says so.  One that does not answer
cannot, and keeps the line from everybody else: it is killed, which frees the line.
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

END_S: Final = 2.0
"""How long the end of a killed supervisor is waited for: the kernel has its memory to free."""


def line_low_or_fail(gpio: Gpio, pin: int, path: Path, clock: Clock, patience_s: float) -> bool:
    """Return when the line was driven low and read back low.

    A supervisor that does not answer in time is killed, once.

    Args:
        gpio: provider of the line, for when no supervisor owns it.
        pin: the line that enables the LED driver.
        path: of the supervisor's socket.
        clock: real time.
        patience_s: how long to try again when the line or the supervisor is in use; begins again
            when a supervisor was killed.

    Returns:
        Whether a supervisor owns the line.

    Raises:
        LightError: the line fails (LIGHT-LINE), reads high (LIGHT-STUCK), or nobody can tell
            (LIGHT-UNVERIFIED).
    """
    end_s = clock.monotonic_s() + patience_s
    killed = False
    while True:
        try:
            return _low_now(gpio, pin, path, clock)
        except SilentSupervisorError as error:
            if killed:
                raise _unverified(pin, error.cause) from error
            _kill_supervisor(path, pin)
            killed, end_s = True, clock.monotonic_s() + patience_s
        except SupervisorError as error:
            if clock.monotonic_s() >= end_s:
                raise _unverified(pin, error.cause) from error
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
    """End the process that listens at ``path``; raises LightError if it lives on."""
    try:
        pid = int(pid_file(path).read_text(encoding="ascii"))
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except (OSError, ValueError) as error:
        raise _unverified(pin, f"the light supervisor does not answer ({error})") from error
    try:
        # Read before the descriptor was opened, the number could be another process's by now: who
        # still listens is the one that wrote it.
        if not supervisor_listens(path) or int(pid_file(path).read_text(encoding="ascii")) != pid:
            return
        log.critical("the light supervisor (process %d) does not answer and is killed", pid)
        signal.pidfd_send_signal(process, signal.SIGKILL)
        poll = select.poll()
        poll.register(process, select.POLLIN)
        if not poll.poll(END_S * 1000.0):
            raise _unverified(pin, f"the light supervisor (process {pid}) was killed and lives on")
    except (OSError, ValueError) as error:
        why = f"the light supervisor (process {pid}) does not answer and cannot be killed ({error})"
        raise _unverified(pin, why) from error
    finally:
        os.close(process)


def _unverified(pin: int, why: str) -> LightError:
    return LightError(
        f"The UV line (pin {pin}) may be high: {why}.",
        remedy="Keep the lid closed, stop the instrument and the light supervisor, and try again; "
        "if that fails, switch the instrument off.",
        code="LIGHT-UNVERIFIED",
    )
