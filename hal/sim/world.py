"""The simulated instrument's world: what is true, and the switches that make it go wrong."""

from __future__ import annotations

from pathlib import Path

from hal.clock import Clock
from hal.config import HardwareConfig
from hal.sim.camera import SimCamera
from hal.sim.donors import make_donor
from hal.sim.gpio import FakeGpio
from hal.sim.gpio_lines import FileLines, MemoryLines
from hal.sim.grbl_emulator import GrblEmulator
from hal.sim.microscope import VirtualMicroscope
from hal.sim.smear import Smear
from hal.sim.supervisor import InnerSupervisor


class SimulatedWorld:
    """Everything the drivers of a simulated instrument talk to.

    Attributes:
        smear: the slide with its ground truth.
        microscope: renders it; ``microscope.faults`` and ``microscope.sensor`` are fault switches.
        emulator: the stage's controller; its methods are fault switches.
        camera: the camera; ``camera.inject(...)`` and ``camera.unplug()`` are fault switches.
        gpio: the lines, with every edge recorded; ``gpio.fail(pin)`` is a fault switch, and so are
            ``gpio.lines.stick(...)`` and, for the current of the LED, ``gpio.lines.couple(...)``.
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
        self.emulator = GrblEmulator(config.stage, clock)
        self.camera = SimCamera(
            config.camera,
            self.microscope,
            place_um=self.emulator.true_position_um,
            lit_fraction=lambda start_s, end_s: self.gpio.high_fraction(
                config.light.pin, start_s, end_s
            ),
            clock=clock,
        )

    def fit_objective(self, pixel_um: float) -> None:
        """Fit an objective under which a pixel of the camera is ``pixel_um`` in the sample."""
        self.microscope = VirtualMicroscope(
            self.smear,
            width_px=self._config.camera.width_px,
            height_px=self._config.camera.height_px,
            pixel_um=pixel_um,
        )
        self.camera.look_at(self.microscope)

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
