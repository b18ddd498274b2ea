"""Builds the devices from the settings.  Nobody else knows whether something is simulated."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING

from hal.clock import SIMULATED_PATIENCE_S, Clock, SystemClock
from hal.config import (
    AptConfig,
    CameraConfig,
    HardwareConfig,
    LightConfig,
    SimulationConfig,
    StageConfig,
)
from hal.errors import LeukoluxError, SettingsError
from hal.interfaces.camera import Camera
from hal.interfaces.gpio import Gpio, load_gpio
from hal.interfaces.light import Light
from hal.interfaces.panel import Panel
from hal.interfaces.stage import Stage
from hal.light.gpio_light import GpioLight
from hal.light.led_current import LedCurrent
from hal.light.supervised_line import SupervisedLine
from hal.light.supervised_off import line_low_or_fail
from hal.light.supervisor import LightSupervisor
from hal.light.switch_off import take_line_low
from hal.light.uv_line import OwnLine, UvLine
from hal.panel.gpio_panel import GpioPanel
from hal.recorder.recorded import RecordedGpio, RecordedLine
from hal.recorder.recorder import UNRECORDED, Recorder
from hal.stage.apt.driver import AptStage
from hal.stage.grbl.driver import GrblStage
from hal.stage.guarded import GuardedStage

if TYPE_CHECKING:
    from hal.sim.optics.microscope import VirtualMicroscope
    from hal.sim.world import SimulatedWorld

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Hardware:
    """All devices, not yet opened; ``simulation`` is None on a real instrument."""

    camera: Camera
    stage: GuardedStage
    light: Light
    panel: Panel
    simulation: SimulatedWorld | None
    recorder: Recorder = UNRECORDED

    def open(self) -> None:
        """Open every device, the light first so that its line is low before anything else.

        Raises:
            DeviceError: a device failed; the others are closed again.
        """
        try:
            for device in (self.light, self.panel, self.stage, self.camera):
                device.open()
        except LeukoluxError:
            self.close()
            raise

    def reopen(self) -> None:
        """Close what is open, then open every device, the light first; a simulation goes on.

        Raises:
            DeviceError: a device failed; those after it stay closed, except the panel, whose lamps
                show the failure.
        """
        devices = (self.light, self.panel, self.stage, self.camera)
        for device in devices:
            device.close()
        try:
            for device in devices:
                device.open()
        finally:
            self.panel.open()

    def close(self) -> None:
        """Close everything, the light first.  Never raises; can be called twice."""
        for device in (self.light, self.stage, self.camera, self.panel, self.simulation):
            try:
                if device is not None:
                    device.close()
            except Exception:
                log.exception("%s could not be closed", type(device).__name__)


def build_hardware(
    config: HardwareConfig,
    clock: Clock,
    safety_clock: Clock | None = None,
    recorder: Recorder = UNRECORDED,
) -> Hardware:
    """Return the devices the settings name.

    Args:
        config: which drivers, with their settings.
        clock: paces motion and exposures; may be scaled when everything is simulated.
        safety_clock: real time, for what a person touches; the light always uses real time.
        recorder: notes what goes over the wires; stays open.

    Raises:
        SettingsError: simulated and real devices are mixed, or the stage's limits do not fit its
            travel.
        DeviceError: a driver is not available.
    """
    safety_clock = safety_clock if safety_clock is not None else SystemClock()
    simulated = _simulated_drivers(config)
    if all(simulated.values()):
        return _simulated(config, clock, safety_clock, recorder)
    if any(simulated.values()):
        real = ", ".join(name for name, is_simulated in simulated.items() if not is_simulated)
        raise SettingsError("HARDWARE-MIXED", real=real, settings=", ".join(simulated))
    camera = _camera_driver(config.camera, clock, recorder)
    gpio = load_gpio(config.light.gpio)
    light, panel = _on_gpio(config, gpio, config.light.supervisor_socket, safety_clock, recorder)
    driver = _stage_driver(config.stage, config.apt, clock, recorder)
    stage = GuardedStage(driver, config.stage)
    return Hardware(camera, stage, light, panel, None, recorder)


@contextmanager
def camera_alone(config: HardwareConfig, clock: Clock) -> Iterator[Camera]:
    """Give the configured camera, not yet opened, whatever the other devices are; close it.

    Raises:
        DeviceError: its driver is not available.
    """
    if config.camera.driver != "sim":
        camera = _camera_driver(config.camera, clock)
        try:
            yield camera
        finally:
            camera.close()
        return
    hardware = _simulated(config, clock, SystemClock())
    try:
        yield hardware.camera
    finally:
        hardware.close()


def build_clock(config: HardwareConfig) -> SystemClock:
    """Return the clock of the configured hardware: scaled only if everything is simulated."""
    if not simulates(config):
        return SystemClock()
    return SystemClock(config.simulation.speed, SIMULATED_PATIENCE_S)


def simulates(config: HardwareConfig) -> bool:
    """Return whether the devices that the settings name are simulated."""
    return all(_simulated_drivers(config).values())


class LineIs(Enum):
    """Where the UV line was found after it was taken low."""

    FREE = auto()
    """Released to its pull-down."""
    SUPERVISED = auto()
    """Kept low by the light supervisor."""
    SIMULATED = auto()
    """Inside the simulated instrument: it ended with its process."""


def take_light_off(
    light: LightConfig,
    simulation: SimulationConfig,
    clock: Clock,
    patience_s: float,
    supervisor: Path | None = None,
) -> LineIs:
    """Drive the line of a light whose process has ended low, and read it back.

    Args:
        light: names the GPIO provider and the line.
        simulation: tells where simulated lines are that outlive their process.
        clock: real time.
        patience_s: how long to try while somebody else holds the line.
        supervisor: socket of a supervisor that may own the line.

    Raises:
        DeviceError: the GPIO provider is not available.
        LightError: as :func:`hal.light.switch_off.take_line_low` or
            :func:`hal.light.supervised_off.line_low_or_fail`.
    """
    gpio = _lines_outside(light, simulation)
    if gpio is None:
        return LineIs.SIMULATED
    if supervisor is not None:
        supervised = line_low_or_fail(gpio, light.pin, supervisor, clock, patience_s)
        return LineIs.SUPERVISED if supervised else LineIs.FREE
    take_line_low(gpio, light.pin, clock, patience_s)
    return LineIs.FREE


def _lines_outside(light: LightConfig, simulation: SimulationConfig) -> Gpio | None:
    """Return the lines as every process sees them, None for those inside a simulated instrument."""
    if light.gpio != "sim":
        return load_gpio(light.gpio)
    if not simulation.gpio_directory:
        return None
    # Imported here, so that a real instrument never loads the simulator.
    from hal.sim.gpio.lines import FileLines
    from hal.sim.gpio.module import FakeGpio

    lines = FileLines(Path(simulation.gpio_directory))
    if light.readback_pin:
        lines.couple(light.pin, light.readback_pin)
    return FakeGpio(lines)


def _simulated_drivers(config: HardwareConfig) -> dict[str, bool]:
    simulated = {
        "camera.driver": config.camera.driver == "sim",
        "stage.port": config.stage.port == "sim",
        "light.gpio": config.light.gpio == "sim",
    }
    if config.stage.driver == "apt":
        simulated["apt.port_z"] = config.apt.port_z == "sim"
    return simulated


def virtual_microscope(
    smear: str,
    white_cell_enrichment: float = 1.0,
    *,
    composition: Mapping[str, float] | None = None,
    class_overlap: float = 0.0,
    camera_rotation_deg: float = 0.0,
) -> VirtualMicroscope:
    """Return a microscope over a simulated smear, without an instrument around it.

    Args:
        smear: donor, NAME:SEED.
        white_cell_enrichment: how many times more white cells than the donor has, so that fewer
            fields are needed; their composition stays.
        composition: shares of the kinds of white cells in place of the donor's.
        class_overlap: how far the kinds are drawn alike, 0 to 1.
        camera_rotation_deg: of the camera against the stage.

    Raises:
        InputError: there is no such donor, composition or overlap.
    """
    from hal.sim.blood.donors import make_donor, with_class_overlap
    from hal.sim.blood.smear import Smear
    from hal.sim.optics.microscope import VirtualMicroscope
    from hal.sim.optics.mounting import Mounting

    donor = with_class_overlap(make_donor(smear), class_overlap)
    microscope = VirtualMicroscope(
        Smear(donor, white_cell_enrichment=white_cell_enrichment, composition=composition)
    )
    microscope.mounting = Mounting(camera_rotation_deg)
    return microscope


def _simulated(
    config: HardwareConfig, clock: Clock, safety_clock: Clock, recorder: Recorder = UNRECORDED
) -> Hardware:
    # Imported here, so that a real instrument never loads the simulator.
    from hal.sim.gentl.process import CameraProcess
    from hal.sim.world import SimulatedWorld

    world = SimulatedWorld(config, clock)
    inside = world.supervisor
    supervisor = str(inside.socket) if inside is not None else config.light.supervisor_socket
    light, panel = _on_gpio(config, world.gpio, supervisor, safety_clock, recorder)
    camera: Camera
    try:
        driver = _stage_driver(world.stage_config, world.apt_config, clock, recorder)
        stage = GuardedStage(driver, world.stage_config)
        if isinstance(world.camera, CameraProcess):
            behind = {"producer": str(world.camera.producer), "serial": world.camera.serial}
            wired = config.camera.model_copy(update=behind)
            camera = _camera_driver(wired, clock, recorder)
        else:
            camera = world.camera
    except LeukoluxError:
        world.close()
        raise
    return Hardware(camera, stage, light, panel, world, recorder)


def _stage_driver(config: StageConfig, apt: AptConfig, clock: Clock, recorder: Recorder) -> Stage:
    """Return the driver; put it inside its guard, which every move must pass."""
    if config.driver == "apt":
        return AptStage(config, apt, clock, recorder)
    return GrblStage(config, clock, recorder)


def _camera_driver(config: CameraConfig, clock: Clock, recorder: Recorder = UNRECORDED) -> Camera:
    """Return the driver of a camera that is not inside the simulated instrument."""
    # Imported here, so that only such a camera needs its libraries.
    from hal.camera.genicam.driver import GenicamCamera

    return GenicamCamera(config, clock, recorder=recorder)


def _on_gpio(
    config: HardwareConfig, gpio: Gpio, supervisor: str, safety_clock: Clock, recorder: Recorder
) -> tuple[Light, Panel]:
    panel = GpioPanel(gpio, config.panel, safety_clock)
    settings = config.light
    lines = RecordedGpio(gpio, recorder)
    line: UvLine
    if settings.supervisor:
        supervised = SupervisedLine(Path(supervisor), lines, settings.pin)
        line = RecordedLine(supervised, settings.pin, recorder)
    else:
        log.warning("the UV light works without its supervisor, as light.supervisor says")
        line = OwnLine(lines, settings.pin)
    current = LedCurrent(lines, settings.readback_pin) if settings.readback_pin else None
    return GpioLight(line, settings, lambda: panel.lid_closed, current), panel


def step_through(recording: Path, speed: float = 1.0) -> Iterator[str]:
    """Lead the stage's driver through a recording; yield a line on the outcome of each order.

    Args:
        recording: file of a recorder, or a transcript of a GRBL controller.
        speed: how many times faster than it was.

    Raises:
        InputError: the recording cannot be read or replayed, or the driver deviates from it.
    """
    # Imported here, so that a real instrument never loads the simulator.
    from hal.sim.replay import steps as replay_steps

    return replay_steps.step_through(recording, SystemClock(speed))


def build_light_supervisor(config: HardwareConfig) -> LightSupervisor:
    """Return the supervisor of the instrument that ``config`` describes, not yet open.

    Raises:
        SettingsError: the lines are simulated inside the instrument, where nobody else sees them.
        DeviceError: the GPIO provider is not available.
    """
    light = config.light
    gpio = _lines_outside(light, config.simulation)
    if gpio is None:
        raise SettingsError("HARDWARE-SUPERVISOR-INSIDE")
    return LightSupervisor(
        gpio, light.pin, Path(light.supervisor_socket), max_pulse_ms=light.max_pulse_ms
    )
