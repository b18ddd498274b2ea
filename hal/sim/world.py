"""The simulated instrument's world: what is true, and the switches that make it go wrong."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Protocol

from hal.clock import Clock
from hal.config import HardwareConfig
from hal.errors import DeviceError
from hal.sim.apt.emulator import AptEmulator
from hal.sim.blood.donors import make_donor
from hal.sim.blood.smear import Smear
from hal.sim.gentl.features import SIZE_STEP_PX
from hal.sim.gentl.process import CameraProcess, ProducerFolder
from hal.sim.gpio.lines import FileLines, MemoryLines
from hal.sim.gpio.module import FakeGpio
from hal.sim.gpio.supervisor import InnerSupervisor
from hal.sim.grbl.emulator import GrblEmulator
from hal.sim.optics.camera import READOUT_MS, SimCamera
from hal.sim.optics.microscope import VirtualMicroscope


class StageEmulator(Protocol):
    """The stage's controllers and mechanics, whichever family they are of."""

    @property
    def port(self) -> str:
        """Serial port to give to the driver."""

    def true_position_um(self) -> tuple[float, float, float]:
        """Return where the slide really is, stage frame, um."""

    def true_position_um_at(self, time_s: float) -> tuple[float, float, float]:
        """Return where the slide was at ``time_s`` of the clock, when it was at rest then."""

    def close(self) -> None:
        """Stop it.  Can be called twice."""


class SimulatedWorld:
    """Everything the drivers of a simulated instrument talk to.

    Attributes:
        smear: the slide with its ground truth.
        microscope: renders it; ``microscope.faults`` and ``microscope.sensor`` are fault switches.
        emulator: the stage's controllers; its methods are fault switches.
        stage_config: the stage's settings with the ports of the emulated controllers.
        apt_config: the settings of the APT controllers, with the same ports.
        camera: the camera, or with ``simulation.wire`` the process of the camera that a driver
            finds behind ``camera.producer``; ``camera.inject(...)`` and ``camera.unplug()`` are
            fault switches of either.
        gpio: the lines, with every edge recorded; ``gpio.fail(pin)`` is a fault switch, and so are
            ``gpio.lines.stick(...)`` and, for the current of the LED, ``gpio.lines.couple(...)``.
        supervisor: watches the light from inside; None if a process of its own does.

    Raises:
        DeviceError: with ``simulation.wire``, the producer cannot be built or does not start.
    """

    def __init__(self, config: HardwareConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self.emulator, port_z = self._stage_emulator()
        self.stage_config = config.stage.model_copy(update={"port": self.emulator.port})
        self.apt_config = config.apt.model_copy(update={"port_z": port_z})
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
            self.supervisor = InnerSupervisor(config.light, self.gpio)
        self.set_lid(closed=config.simulation.lid_closed)
        self._folder: ProducerFolder | None = None
        self._process: CameraProcess | None = None
        if config.simulation.wire:
            try:
                self._process = self._camera_process()
            except BaseException:
                self.close()
                raise
        self.camera = self._process or self._camera()

    def _stage_emulator(self) -> tuple[StageEmulator, str]:
        """Return what the stage's driver talks to, and the port of z if it is another one."""
        stage, apt = self._config.stage, self._config.apt
        if stage.driver == "apt":
            controllers = AptEmulator(apt, self._clock)
            return controllers, controllers.port_z
        return GrblEmulator(stage, self._clock), apt.port_z

    def _camera(self) -> SimCamera:
        return SimCamera(
            self._config.camera,
            self.microscope,
            place_um=self.emulator.true_position_um,
            lit_fraction=self._lit_fraction,
            clock=self._clock,
        )

    def _camera_process(self) -> CameraProcess:
        camera, simulation = self._config.camera, self._config.simulation
        if (camera.width_px | camera.height_px) % SIZE_STEP_PX:
            raise DeviceError(
                "SIM-CAMERA-SIZE",
                width_px=camera.width_px,
                height_px=camera.height_px,
                step_px=SIZE_STEP_PX,
            )
        self._folder = ProducerFolder()
        options = {
            "smear": simulation.smear,
            "pixel-um": camera.pixel_um,
            "width-px": (camera.offset_x_px + camera.width_px) * camera.binning,
            "height-px": (camera.offset_y_px + camera.height_px) * camera.binning,
            "readout-ms": READOUT_MS,
            "speed": simulation.speed,
        }
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        return CameraProcess(self._folder, options=words, world_at=self._at)

    def _at(self, start_s: float, end_s: float) -> tuple[tuple[float, float, float], float]:
        """Return place and lit share of an interval of real time."""
        ago_s = (time.monotonic() - start_s) * self._config.simulation.speed
        place_um = self.emulator.true_position_um_at(self._clock.monotonic_s() - ago_s)
        return place_um, self._lit_fraction(start_s, end_s)

    def _lit_fraction(self, start_s: float, end_s: float) -> float:
        return self.gpio.high_fraction(self._config.light.pin, start_s, end_s)

    def fit_objective(self, pixel_um: float) -> None:
        """Fit an objective under which a pixel of the camera is ``pixel_um`` in the sample.

        Raises:
            TypeError: the camera is behind the wire, where another process draws the image.
        """
        if not isinstance(self.camera, SimCamera):
            raise TypeError("the objective of a camera behind the wire cannot be changed")
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
        """Stop the emulated controller, the inner supervisor and the camera's process.

        Can be called twice.
        """
        self.emulator.close()
        if self.supervisor is not None:
            self.supervisor.close()
        if self._process is not None:
            self._process.close()
        if self._folder is not None:
            self._folder.close()
