"""Takes the UV line low for a process that has ended: the last resort."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from hal.clock import Clock
from hal.errors import LightError
from hal.interfaces.gpio import GPIO_FAILURES, Gpio
from hal.light.cuts import line_stuck

log = logging.getLogger(__name__)

RETRY_S: Final = 0.02
UNIX_SOCKETS: Final = Path("/proc/net/unix")
_ACCEPTS: Final = 0x10000
"""Flag of a socket that listens, in the kernel's table."""


def take_line_low(gpio: Gpio, pin: int, clock: Clock, patience_s: float) -> None:
    """Claim the line, low from the first moment, and release it to its pull-down.

    Providers on the kernel's character device refuse a line that somebody else holds, so the claim
    is repeated.

    Args:
        gpio: provider of the line.
        pin: the line that enables the LED driver.
        clock: real time.
        patience_s: how long to repeat the claim.

    Raises:
        LightError: the line could not be claimed, or reads high although it is driven low.
    """
    end_s = clock.monotonic_s() + patience_s
    while True:
        try:
            gpio.setup(pin, gpio.OUT, initial=gpio.LOW)
            stuck = gpio.input(pin) != gpio.LOW
            break
        except GPIO_FAILURES as error:
            if clock.monotonic_s() >= end_s:
                raise LightError("LIGHT-LINE-TAKEN", pin=pin, reason=error) from error
            clock.sleep(RETRY_S)
    try:
        gpio.cleanup(pin)
    except GPIO_FAILURES as error:
        log.warning("the UV line is low but could not be released: %s", error)
    if stuck:
        raise line_stuck(pin)


def supervisor_listens(path: Path, sockets: Path = UNIX_SOCKETS) -> bool:
    """Return whether a light supervisor listens at ``path``, and so owns the line.

    Does not connect: that would take the place of the instrument.

    Args:
        path: of its socket.
        sockets: the kernel's table of UNIX sockets.
    """
    try:
        lines = sockets.read_text(encoding="utf-8", errors="replace").splitlines()[1:]
    except OSError as error:
        log.warning("%s cannot be read: %s", sockets, error)
        return False
    # Num RefCount Protocol Flags Type St Inode Path
    fields = (line.split(maxsplit=7) for line in lines)
    return any(
        len(entry) == 8 and entry[7] == str(path) and int(entry[3], 16) & _ACCEPTS
        for entry in fields
    )
