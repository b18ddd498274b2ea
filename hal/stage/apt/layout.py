"""From settings to axes: which channel of which controller on which port moves what."""

from __future__ import annotations

from hal.clock import Clock
from hal.config import AptConfig, StageConfig
from hal.recorder.recorder import UNRECORDED, Recorder
from hal.stage.apt.axis import AptAxis, AxisProfile
from hal.stage.apt.bus import AptBus
from hal.stage.apt.messages import AptCodec


def build_axes(
    config: StageConfig, apt: AptConfig, clock: Clock, recorder: Recorder = UNRECORDED
) -> tuple[AptAxis, AptAxis, AptAxis]:
    """Return x, y and z; axes on one port share its bus.

    Raises:
        DeviceError: the library for the protocol is not installed.
    """
    codec = AptCodec()
    ports = (
        (config.port, "stage.port", (apt.address_x, apt.address_y)),
        (apt.port_z, "apt.port_z", (apt.address_z,)),
    )
    names: dict[str, str] = {}
    addresses: dict[str, set[int]] = {}
    for port, setting, found in ports:
        names.setdefault(port, setting)
        addresses.setdefault(port, set()).update(found)
    buses = {
        port: AptBus(port, config.baud, setting, codec, frozenset(addresses[port]), recorder)
        for port, setting in names.items()
    }
    xy = buses[config.port]
    return (
        AptAxis(_xy_profile(apt, "x", apt.address_x, apt.channel_x, apt.travel_x_mm), xy, clock),
        AptAxis(_xy_profile(apt, "y", apt.address_y, apt.channel_y, apt.travel_y_mm), xy, clock),
        AptAxis(_z_profile(apt), buses[apt.port_z], clock),
    )


def _xy_profile(
    apt: AptConfig, name: str, address: int, channel: int, travel_mm: float
) -> AxisProfile:
    return AxisProfile(
        name=name,
        address=address,
        channel=channel,
        counts_per_mm=apt.counts_per_mm_xy,
        sample_time_us=apt.sample_time_xy_us,
        travel_um=travel_mm * 1000.0,
        speed_mm_per_s=apt.speed_xy_mm_per_s,
        acceleration_mm_per_s2=apt.acceleration_xy_mm_per_s2,
        window_counts=apt.window_xy_counts,
        reports_settled=apt.settled_bit_xy,
        limit_bits_swapped=apt.limit_bits_swapped_xy,
    )


def _z_profile(apt: AptConfig) -> AxisProfile:
    return AxisProfile(
        name="z",
        address=apt.address_z,
        channel=apt.channel_z,
        counts_per_mm=apt.counts_per_mm_z,
        sample_time_us=apt.sample_time_z_us,
        travel_um=apt.travel_z_mm * 1000.0,
        speed_mm_per_s=apt.speed_z_mm_per_s,
        acceleration_mm_per_s2=apt.acceleration_z_mm_per_s2,
        window_counts=apt.window_z_counts,
        reports_settled=apt.settled_bit_z,
        limit_bits_swapped=apt.limit_bits_swapped_z,
    )
