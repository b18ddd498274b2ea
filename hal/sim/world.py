"""The simulated instrument's world: what is true, and the switches that make it go wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from hal.clock import Clock
from hal.config import HardwareConfig
from hal.sim.apt_emulator import AptEmulator
from hal.sim.camera import SimCamera
from hal.sim.donors import make_donor
from hal.sim.gpio import FakeGpio
from hal.sim.gpio_lines import FileLines, MemoryLines
from hal.sim.grbl_emulator import GrblEmulator
from hal.sim.microscope import VirtualMicroscope
from hal.sim.smear import Smear
from hal.sim.supervisor import InnerSupervisor


class StageEmulator(Protocol):
    """The stage's controllers and mechanics, whichever family they are of."""

    @property
    def port(self) -> str:
        """Serial port to give to the driver."""

    def true_position_um(self) -> tuple[float, float, float]:
        """Return where the slide really is, stage frame, um."""

    def restart(self) -> None:
        """Let the controller lose its power for a moment."""

    def unplug(self) -> None:
        """Pull the controller's cable."""

    def plug_in(self) -> None:
        """Put it back."""

    def close(self) -> None:
        """Stop it.  Can be called twice."""


class SimulatedWorld:
    """Everything the drivers of a simulated instrument talk to.

    Attributes:
        smear: the slide with its ground truth.
        microscope: renders it.
        emulator: the stage's controllers; its methods are fault switches.
        stage_config: the stage's settings with the ports of the emulated controllers.
        apt_config: likewise.
        camera: the camera; ``camera.inject(...)`` and ``camera.unplug()`` are fault switches.
        gpio: the lines, with every edge recorded; ``gpio.fail(pin)`` is a fault switch, and so is
            ``gpio.lines.couple(...)`` for the current of the LED.
        supervisor: watches the light from inside; None where a process of its own does.
    """

    def __init__(self, config: HardwareConfig, clock: Clock) -> None:
        self._config = config
        self.smear = Smear(make_donor(config.simulation.smear))
        self.microscope = VirtualMicroscope(
            self.smear,
            width_px=config.camera.width_px,
            height_px=config.camera.height_px,
            pixel_um=config.camera.pixel_um,
        )
        folder = config.simulation.gpio_directory
        lines = FileLines(Path(folder)) if folder else MemoryLines()
        self.gpio = FakeGpio(lines)
        if config.light.readback_pin:
            lines.couple(config.light.pin, config.light.readback_pin)
            lines.drive(config.light.readback_pin, self.gpio.LOW)
        self.supervisor: InnerSupervisor | None = None
        if config.light.supervisor and not folder:
            self.supervisor = InnerSupervisor(config.light, lines)
        self.set_lid(closed=config.simulation.lid_closed)
        self.apt_config = config.apt
        self.emulator: StageEmulator
        if config.stage.driver == "apt":
            self.emulator = controllers = AptEmulator(config.apt, clock)
            self.apt_config = config.apt.model_copy(update={"port_z": controllers.port_z})
        else:
            self.emulator = GrblEmulator(config.stage, clock)
        self.stage_config = config.stage.model_copy(update={"port": self.emulator.port})
        self.camera = SimCamera(
            config.camera,
            self.microscope,
            place_um=self.emulator.true_position_um,
            lit_fraction=lambda start_s, end_s: self.gpio.high_fraction(
                config.light.pin, start_s, end_s
            ),
            clock=clock,
        )

    def set_lid(self, *, closed: bool) -> None:
        """Open or close the lid."""
        level = self.gpio.HIGH if closed else self.gpio.LOW
        self.gpio.set_input(self._config.panel.lid_pin, level)

    def hold_start(self, *, down: bool) -> None:
        """Press the start button, or let it go."""
        level = self.gpio.LOW if down else self.gpio.HIGH
        self.gpio.set_input(self._config.panel.start_pin, level)

    def close(self) -> None:
        """Stop the emulated controller and the inner supervisor.  Can be called twice."""
        self.emulator.close()
        if self.supervisor is not None:
            self.supervisor.close()
