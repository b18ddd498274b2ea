"""The camera process: ``python -m hal.sim.gentl --folder DIR``, next to a copy of the producer.

Commands come as JSON lines on standard input, one answer line each: ``{"faults": {"drop": 1}}``
sets fault switches, ``{"plugged": false}`` pulls the cable, ``{"exchange": {"x_padding": 8}}`` puts
another chip in the place of the first.  The end of the input ends the process.
"""

from __future__ import annotations

import argparse
import json
import logging
import signal
import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from hal.sim.gentl.features import SIZE_STEP_PX, Chip
from hal.sim.gentl.frames import WorldAt
from hal.sim.gentl.scenes import Pattern, SceneMaker, smear_scenes
from hal.sim.gentl.server import CameraServer
from hal.sim.gentl.world_link import WorldClient

_SWITCH_INTERVAL_S = 0.0005
_LONGEST_COMMAND = 1 << 20


def main() -> None:
    """Serve one camera until standard input ends."""
    options = _parser().parse_args()
    logging.basicConfig(level=options.log.upper(), stream=sys.stderr)
    # Ctrl-C belongs to the instrument, which ends this process when it has ended itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Registers must be answered while a frame is being rendered.
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    place = _Place(options)
    place.server.plug_in()
    _say({"ready": True})
    while line := sys.stdin.readline(_LONGEST_COMMAND):
        try:
            place.execute(json.loads(line))
        except (ValueError, TypeError, KeyError, OSError) as error:
            _say({"error": str(error)})
        else:
            _say({"done": True})
    place.server.close()


class _Place:
    """Where the camera is; another one can be put there."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._chip = _chip(options)
        self._scenes = _scenes(options)
        self._world_at: WorldAt = _always_here_and_lit
        if options.world_fd is not None:
            self._world_at = WorldClient(socket.socket(fileno=options.world_fd)).ask
        self.server = self._serve(self._chip)

    def execute(self, command: Any) -> None:
        """Obey one command.  Raises ValueError, TypeError, KeyError, OSError."""
        match command:
            case {"faults": dict(counts)} if len(command) == 1:
                self.server.faults.set(**counts)
            case {"plugged": bool(plugged)} if len(command) == 1:
                (self.server.plug_in if plugged else self.server.unplug)()
            case {"exchange": dict(facts)} if len(command) == 1:
                if "without" in facts:
                    facts["without"] = frozenset(facts["without"])
                other = self._serve(replace(self._chip, **facts))
                self.server.unplug()
                self.server = other
                self.server.plug_in()
            case _:
                raise ValueError(f"not a command: {command!r}")

    def _serve(self, chip: Chip) -> CameraServer:
        server = CameraServer(
            chip,
            self._scenes,
            self._world_at,
            self._options.folder / f"{chip.serial}.sock",
            readout_ms=self._options.readout_ms,
            speed=self._options.speed,
        )
        server.frames.prepare(chip.width_px, chip.height_px)
        return server


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m hal.sim.gentl", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="where the producer lies")
    parser.add_argument("--serial", default="SIM-1", help="serial number")
    parser.add_argument("--scene", choices=("smear", "pattern"), default="smear")
    parser.add_argument("--smear", default="healthy:42", help="donor, NAME:SEED")
    parser.add_argument("--pixel-um", type=float, default=0.165, help="pixel size on the slide")
    parser.add_argument("--width-px", type=int, default=1392, help="of the chip")
    parser.add_argument("--height-px", type=int, default=1040, help="of the chip")
    parser.add_argument("--readout-ms", type=float, default=0.0, help="exposure to frame")
    parser.add_argument("--speed", type=float, default=1.0, help="simulated s per real s")
    parser.add_argument("--world-fd", type=int, help="socket that tells place and light")
    parser.add_argument("--log", default="warning", help="log level")
    return parser


def _chip(options: argparse.Namespace) -> Chip:
    if options.width_px % SIZE_STEP_PX or options.height_px % SIZE_STEP_PX:
        sys.exit(f"width and height must be multiples of {SIZE_STEP_PX} px")
    return Chip(options.serial, options.width_px, options.height_px)


def _scenes(options: argparse.Namespace) -> SceneMaker:
    return smear_scenes(options.smear, options.pixel_um) if options.scene == "smear" else Pattern


def _always_here_and_lit(start_s: float, end_s: float) -> tuple[tuple[float, float, float], float]:
    return (0.0, 0.0, 0.0), 1.0


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
