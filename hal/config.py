"""Settings of the hardware: defaults, units and ranges; ``device.settings.file`` reads them."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Section(BaseModel):
    """One table of the settings file: unknown keys and wrong types are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def quantity(default: float | int, unit: str, low: float, high: float, description: str) -> Any:
    """Declare a numeric setting with its unit and inclusive range."""
    return Field(
        default, ge=low, le=high, description=description, json_schema_extra={"unit": unit}
    )


class CameraConfig(Section):
    """UV camera."""

    driver: Literal["sim", "genicam"] = Field("sim", description="camera driver")
    width_px: int = quantity(1392, "px", 64, 8192, "image width")
    height_px: int = quantity(1040, "px", 64, 8192, "image height")
    pixel_um: float = quantity(
        0.165, "um", 0.02, 2.0, "size of a pixel in the sample, as it is with the binning"
    )
    pixel_format: Literal["Mono8", "Mono10", "Mono10p", "Mono12", "Mono12p", "Mono12Packed"] = (
        Field("Mono12", description="pixel format; the packed ones need less bandwidth")
    )
    exposure_ms: float = quantity(50.0, "ms", 1.0, 100.0, "exposure time")
    gain_db: float = quantity(0.0, "dB", 0.0, 24.0, "analog gain")
    frame_timeout_ms: float = quantity(
        2000.0, "ms", 50.0, 30000.0, "longest wait for a frame after its exposure"
    )
    producer: str = Field(
        "",
        description="GenTL producer (.cti file) of the camera's maker; empty = those in the "
        "folders of GENICAM_GENTL64_PATH",
    )
    serial: str = Field("", description="serial number of the camera; empty = the only one")
    offset_x_px: int = quantity(0, "px", 0, 8192, "left edge of the image on the chip")
    offset_y_px: int = quantity(0, "px", 0, 8192, "upper edge of the image on the chip")
    binning: int = quantity(1, "px", 1, 8, "pixels of the chip per image pixel, along each axis")
    strobe_line: str = Field(
        "",
        description="output of the camera that is active during the exposure, for example Line1; "
        "empty = none",
    )
    trigger_delay_ms: float = quantity(
        1.0, "ms", 0.0, 50.0, "longest time from the software trigger to the exposure"
    )


class StageConfig(Section):
    """Three-axis stage; travel, speeds and steps are of GRBL 1.1, those of APT are in [apt]."""

    driver: Literal["grbl", "apt"] = Field("grbl", description="stage driver")
    port: str = Field(
        "sim",
        description="serial port, of x and y for apt; 'sim' starts the emulator behind a "
        "pseudo-terminal",
    )
    baud: int = quantity(115200, "1/s", 9600, 1000000, "serial speed")
    travel_x_mm: float = quantity(100.0, "mm", 5.0, 500.0, "travel of x, as $130")
    travel_y_mm: float = quantity(100.0, "mm", 5.0, 500.0, "travel of y, as $131")
    travel_z_mm: float = quantity(20.0, "mm", 1.0, 200.0, "travel of z, as $132")
    feed_xy_mm_per_min: float = quantity(1500.0, "mm/min", 1.0, 20000.0, "speed of x and y")
    feed_z_mm_per_min: float = quantity(300.0, "mm/min", 1.0, 5000.0, "speed of z")
    acceleration_xy_mm_per_s2: float = quantity(
        500.0, "mm/s2", 1.0, 20000.0, "acceleration of x and y, as $120 and $121"
    )
    acceleration_z_mm_per_s2: float = quantity(
        200.0, "mm/s2", 1.0, 20000.0, "acceleration of z, as $122"
    )
    steps_per_mm_xy: float = quantity(
        800.0, "1/mm", 10.0, 100000.0, "steps of x and y, as $100 and $101"
    )
    steps_per_mm_z: float = quantity(3200.0, "1/mm", 10.0, 100000.0, "steps of z, as $102")
    homing_pulloff_mm: float = quantity(
        1.0, "mm", 0.1, 10.0, "distance from the switch after homing, as $27; unreachable margin"
    )
    approach_xy_um: float = quantity(
        20.0, "um", 0.0, 1000.0, "last stretch of every x and y move, always upwards; 0 = off"
    )
    approach_z_um: float = quantity(
        10.0, "um", 0.0, 1000.0, "last stretch of every z move, always upwards; 0 = off"
    )
    limit_left_um: float = quantity(0.0, "um", 0.0, 500_000.0, "x never goes below")
    limit_right_um: float = quantity(
        0.0, "um", 0.0, 500_000.0, "x never goes above; 0 = end of the travel"
    )
    limit_top_um: float = quantity(0.0, "um", 0.0, 500_000.0, "y never goes below")
    limit_bottom_um: float = quantity(
        0.0, "um", 0.0, 500_000.0, "y never goes above; 0 = end of the travel"
    )
    limit_z_low_um: float = quantity(0.0, "um", 0.0, 200_000.0, "z never goes below")
    limit_z_high_um: float = quantity(
        0.0, "um", 0.0, 200_000.0, "z never goes above; 0 = end of the travel"
    )
    slide_left_um: float = quantity(6_000.0, "um", 0.0, 500_000.0, "left edge of the slide")
    slide_top_um: float = quantity(31_000.0, "um", 0.0, 500_000.0, "upper edge of the slide")
    slide_width_um: float = quantity(76_000.0, "um", 100.0, 500_000.0, "width of the slide")
    slide_height_um: float = quantity(26_000.0, "um", 100.0, 500_000.0, "height of the slide")
    safe_z_um: float = quantity(
        3_000.0, "um", 0.0, 200_000.0, "above this z the stage stays on the slide in x and y"
    )
    homing_timeout_s: float = quantity(60.0, "s", 1.0, 600.0, "longest homing cycle")
    move_timeout_s: float = quantity(30.0, "s", 0.5, 600.0, "longest single move")

    @model_validator(mode="after")
    def _pulloff_inside_the_travel(self) -> StageConfig:
        shortest_mm = min(self.travel_x_mm, self.travel_y_mm, self.travel_z_mm)
        if self.homing_pulloff_mm >= shortest_mm / 2:
            raise ValueError("homing_pulloff_mm must be less than half of the shortest travel")
        return self


class AptConfig(Section):
    """Thorlabs APT controllers, used when stage.driver = "apt": an MLS203 stage and a z drive."""

    port_z: str = Field(
        "sim", description="serial port of z, like stage.port; may be the same as that"
    )
    address_x: int = quantity(33, "", 17, 80, "controller of x: 33 to 35 = bay 1 to 3, 80 = USB")
    address_y: int = quantity(34, "", 17, 80, "controller of y")
    address_z: int = quantity(80, "", 17, 80, "controller of z")
    channel_x: int = quantity(1, "", 1, 8, "channel of x at its address")
    channel_y: int = quantity(1, "", 1, 8, "channel of y at its address")
    channel_z: int = quantity(1, "", 1, 8, "channel of z at its address")
    counts_per_mm_xy: float = quantity(
        20_000.0, "1/mm", 10.0, 1_000_000.0, "encoder counts of x and y"
    )
    counts_per_mm_z: float = quantity(34_304.0, "1/mm", 10.0, 1_000_000.0, "encoder counts of z")
    sample_time_xy_us: float = quantity(
        102.4, "us", 1.0, 10_000.0, "servo cycle of x and y, for their speeds"
    )
    sample_time_z_us: float = quantity(
        341.333, "us", 1.0, 10_000.0, "servo cycle of z, for its speed"
    )
    travel_x_mm: float = quantity(110.0, "mm", 1.0, 500.0, "travel of x")
    travel_y_mm: float = quantity(75.0, "mm", 1.0, 500.0, "travel of y")
    travel_z_mm: float = quantity(12.0, "mm", 0.1, 200.0, "travel of z")
    speed_xy_mm_per_s: float = quantity(50.0, "mm/s", 0.1, 400.0, "speed of x and y")
    speed_z_mm_per_s: float = quantity(2.0, "mm/s", 0.01, 400.0, "speed of z")
    acceleration_xy_mm_per_s2: float = quantity(
        500.0, "mm/s2", 1.0, 20_000.0, "acceleration of x and y"
    )
    acceleration_z_mm_per_s2: float = quantity(4.0, "mm/s2", 0.1, 20_000.0, "acceleration of z")
    window_xy_counts: int = quantity(
        10, "counts", 1, 1000, "largest distance from the target at which x and y have arrived"
    )
    window_z_counts: int = quantity(
        10, "counts", 1, 1000, "largest distance from the target at which z has arrived"
    )
    settled_bit_xy: bool = Field(True, description="whether x and y report that they have settled")
    settled_bit_z: bool = Field(True, description="whether z reports that it has settled")
    limit_bits_swapped_xy: bool = Field(
        True, description="whether x and y report their two limit switches swapped, as BBD do"
    )
    limit_bits_swapped_z: bool = Field(
        True, description="whether z reports its two limit switches swapped, as KDC101 do"
    )

    @model_validator(mode="after")
    def _one_channel_per_axis(self) -> Self:
        if (self.address_x, self.channel_x) == (self.address_y, self.channel_y):
            raise ValueError("x and y of the stage cannot be the same channel of one controller")
        return self


class LightConfig(Section):
    """260 nm LED on a GPIO line."""

    gpio: Literal["sim", "RPi.GPIO"] = Field(
        "sim", description="GPIO provider; Jetson.GPIO and rpi-lgpio both offer RPi.GPIO"
    )
    pin: int = quantity(33, "BOARD pin", 3, 40, "line that enables the LED driver")
    readback_pin: int = quantity(
        0, "BOARD pin", 0, 40, "input that is high while current flows through the LED; 0 = none"
    )
    max_pulse_ms: float = quantity(150.0, "ms", 1.0, 200.0, "hard maximum of one pulse")
    supervisor: bool = Field(True, description="refuse light without a live light supervisor")
    supervisor_socket: str = Field(
        "/run/leukolux-light/light.sock", description="where the light supervisor listens"
    )
    irradiance_mw_per_cm2: float = quantity(
        6.3, "mW/cm2", 0.0, 1000.0, "irradiance at the sample, for the dose ledger"
    )
    warm_up_pause_s: float = quantity(
        30.0, "s", 1.0, 3600.0, "after this long without light the next frame is dropped"
    )
    led: str = Field(
        "1", description="name of the LED that is fitted; a new name starts the life of a new LED"
    )
    worn_fraction: float = quantity(
        0.5, "", 0.05, 1.0, "share of its first brightness below which the LED is worn"
    )


class PanelConfig(Section):
    """Front panel on GPIO lines of the same provider as the light."""

    start_pin: int = quantity(16, "BOARD pin", 3, 40, "start button, active low")
    lid_pin: int = quantity(18, "BOARD pin", 3, 40, "lid switch, high = closed")
    lamp_green_pin: int = quantity(29, "BOARD pin", 3, 40, "green lamp")
    lamp_amber_pin: int = quantity(31, "BOARD pin", 3, 40, "amber lamp")
    lamp_red_pin: int = quantity(32, "BOARD pin", 3, 40, "red lamp")
    buzzer_pin: int = quantity(0, "BOARD pin", 0, 40, "buzzer with its own oscillator; 0 = none")
    debounce_ms: float = quantity(30.0, "ms", 0.0, 500.0, "time a level must hold")
    long_press_ms: float = quantity(
        2000.0, "ms", 500.0, 10000.0, "start button held this long aborts the run"
    )


class SimulationConfig(Section):
    """The virtual instrument, used by the drivers named ``sim``."""

    @model_validator(mode="before")
    @classmethod
    def _without_former_keys(cls, table: Any) -> Any:
        """Leave out what version 0.1.0 wrote into a settings file as empty by default."""
        if not isinstance(table, dict):
            return table
        former = {"replay_stage", "replay_camera"}
        return {key: value for key, value in table.items() if value or key not in former}

    smear: str = Field("healthy:42", description="donor on the slide, NAME:SEED")
    speed: float = quantity(
        4.0,
        "",
        1.0,
        1000.0,
        "simulated seconds per real second; not below 1, because the light's limits are real time",
    )
    lid_closed: bool = Field(True, description="lid at start")
    wire: bool = Field(
        False,
        description="simulate the camera behind a GenTL producer, under the driver of real ones; "
        "needs leukolux[genicam] and a C compiler",
    )
    gpio_directory: str = Field(
        "",
        description="folder of lines that outlive the process and need their own light supervisor "
        "(`leukolux light-supervisor`); empty keeps lines and supervisor inside",
    )


class HardwareConfig(Section):
    """All devices."""

    camera: CameraConfig = CameraConfig()
    stage: StageConfig = StageConfig()
    apt: AptConfig = AptConfig()
    light: LightConfig = LightConfig()
    panel: PanelConfig = PanelConfig()
    simulation: SimulationConfig = SimulationConfig()

    @model_validator(mode="after")
    def _one_line_per_pin(self) -> Self:
        lines = self.panel.model_dump() | {"readback_pin": self.light.readback_pin}
        pins = [self.light.pin] + [
            value for name, value in lines.items() if name.endswith("_pin") and value
        ]
        if len(set(pins)) != len(pins):
            raise ValueError(f"every GPIO line needs its own pin, not {pins}")
        return self
