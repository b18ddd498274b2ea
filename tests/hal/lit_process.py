"""A process that holds the UV light on and waits to be killed: python lit_process.py FOLDER SOCKET.

Run by the tests of the light supervisor; an argument ``shared`` drops the exclusive lines, and a
number after it is the memory that the process fills, MB.
"""

from __future__ import annotations

import sys
from pathlib import Path

from hal.config import LightConfig
from hal.errors import LightError
from hal.gpio_light import GpioLight
from hal.light_lease import LightLease
from hal.sim.gpio import FakeGpio
from hal.sim.gpio_lines import FileLines


def main(folder: str, socket: str, mode: str, memory_mb: int) -> None:
    """Give pulses of 200 ms, one per line on standard input, and tell when each is on and over."""
    filled = b"x" * (memory_mb << 20)
    config = LightConfig(max_pulse_ms=200.0)
    gpio = FakeGpio(FileLines(Path(folder), exclusive=mode == "exclusive"))
    light = GpioLight(gpio, config, lambda: True, LightLease(socket))
    light.open()
    say("open")
    for _ in sys.stdin:
        try:
            with light.pulse(200.0):
                say("lit")
                sys.stdin.readline()
        except LightError as error:
            say(error.error_code)
        else:
            say("over")
    light.close()
    del filled


def say(word: str) -> None:
    """Write a word at once."""
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
