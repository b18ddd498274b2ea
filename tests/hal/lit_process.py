"""A process that has the UV light on and waits to be killed.

Run by the tests of the light supervisor: python lit_process.py FOLDER SOCKET PULSE_MS MEMORY_MB.
"""

from __future__ import annotations

import sys
from pathlib import Path

from hal.config import LightConfig
from hal.errors import DeviceError
from hal.light.gpio_light import GpioLight
from hal.light.supervised_line import SupervisedLine
from hal.sim.gpio.lines import FileLines
from hal.sim.gpio.module import FakeGpio


def main(folder: str, socket: str, pulse_ms: float, memory_mb: int) -> None:
    """Give pulses, one per line on standard input, and tell when each is on and over."""
    filled = b"x" * (memory_mb << 20)
    config = LightConfig().model_copy(update={"max_pulse_ms": pulse_ms})
    line = SupervisedLine(Path(socket), FakeGpio(FileLines(Path(folder))), config.pin)
    light = GpioLight(line, config, lambda: True)
    light.open()
    say("open")
    for _ in sys.stdin:
        try:
            with light.pulse(pulse_ms):
                say("lit")
                sys.stdin.readline()
        except DeviceError as error:
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
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4]))
