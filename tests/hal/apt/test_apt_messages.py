"""APT messages: bytes in any pieces, and numbers as the controllers count them."""

from __future__ import annotations

import importlib
import struct
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal.config import AptConfig, StageConfig
from hal.error_catalogue import error_catalogue
from hal.errors import DeviceError
from hal.stage.apt.axis import AxisProfile

pytest.importorskip("thorlabs_apt_protocol", reason="the extra apt is not installed")

from hal.clock import SystemClock
from hal.stage.apt.driver import AptStage
from hal.stage.apt.messages import FAULTS, AptCodec, Complaint, Done, FrameReader, Info, Status

BAY = 0x21
SOURCES = frozenset({0x11, BAY, 0x22})


def report(message_id: int = 0x0491, position: int = 20_000, bits: int = 0x80002400) -> bytes:
    data = struct.pack("<HlhHL", 1, position, 0, 0, bits)
    return struct.pack("<HHBB", message_id, len(data), 0x81, BAY) + data


def read(stream: list[bytes]) -> list[object]:
    codec = AptCodec()
    reader = FrameReader(codec, SOURCES)
    return [codec.decode(frame) for piece in stream for frame in reader.feed(piece)]


def test_a_status_is_read() -> None:
    (status,) = read([report()])
    assert status == Status(
        source=BAY,
        channel=1,
        position_counts=20_000,
        moving=False,
        homing=False,
        homed=True,
        settled=True,
        enabled=True,
        forward_limit=False,
        reverse_limit=False,
        faults=(),
    )


@pytest.mark.parametrize(
    ("bits", "name", "value"),
    [
        (0x10, "moving", True),
        (0x20, "moving", True),
        (0x200, "homing", True),
        (0x1, "forward_limit", True),
        (0x2, "reverse_limit", True),
        (0x4000, "faults", ("motion_error",)),
        (0x02000000, "faults", ("encoder_fault",)),
    ],
)
def test_status_bits(bits: int, name: str, value: object) -> None:
    (status,) = read([report(bits=bits)])
    assert getattr(status, name) == value


def test_messages_of_the_end_of_a_motion() -> None:
    homed = struct.pack("<HBBBB", 0x0444, 1, 0, 0x01, BAY)
    short = struct.pack("<HBBBB", 0x0464, 1, 0, 0x01, BAY)
    assert read([homed, short, report(0x0464), report(0x0466)]) == [
        Done(BAY, 1, "homed"),
        Done(BAY, 1, "completed"),
        Done(BAY, 1, "completed"),
        Done(BAY, 1, "stopped"),
    ]


def test_who_a_controller_is_and_what_it_complains_about() -> None:
    info = struct.pack("<l8sH4B", 83, b"BBD302\0\0", 44, 7, 1, 3, 0) + bytes(66)
    rich = struct.pack("<HH64s", 0x0453, 12, b"channel not enabled")
    stream = struct.pack("<HHBB", 0x0006, len(info), 0x81, BAY) + info
    stream += struct.pack("<HHBB", 0x0081, len(rich), 0x81, BAY) + rich
    assert read([stream]) == [
        Info(BAY, "BBD302", "3.1.7"),
        Complaint(BAY, "channel not enabled (code 12)"),
    ]


@given(st.data())
def test_bytes_may_come_in_any_pieces(data: st.DataObject) -> None:
    stream = report(position=1) + report(0x0464, position=2) + report(position=-3)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert read(pieces) == read([stream])


@given(st.binary(max_size=300))
def test_no_noise_makes_the_reader_fail(noise: bytes) -> None:
    for message in read([noise]):
        assert message is None or isinstance(message, Status | Done | Info | Complaint)


@given(st.binary(min_size=1, max_size=40).filter(lambda noise: BAY not in noise))
def test_after_noise_that_begins_no_message_the_next_is_read(noise: bytes) -> None:
    if any(source in noise for source in SOURCES):
        noise = bytes(0xEE for _ in noise)
    assert read([noise + report(position=7)])[-1] == read([report(position=7)])[0]


def test_a_header_that_lies_about_its_form_is_dropped() -> None:
    broken = struct.pack("<HBBBB", 0x0491, 1, 0, 0x01, BAY)
    messages = read([broken + report()])
    assert messages[0] is None
    assert isinstance(messages[1], Status)


def profile(counts_per_mm: float, sample_time_us: float) -> AxisProfile:
    return AxisProfile(
        "x", BAY, 1, counts_per_mm, sample_time_us, 110_000.0, 1.0, 1.0, 10, True, True
    )


def test_speeds_are_in_the_units_of_the_controllers() -> None:
    # The manual's own factors: BBD with MLS203, and DC servo with a Z8 actuator.
    brushless = profile(20_000.0, 102.4)
    assert brushless.speed_units == pytest.approx(134_217.73, abs=1.0)
    assert brushless.acceleration_units == pytest.approx(13.744, abs=0.5)
    servo = profile(34_304.0, 2048.0 / 6.0)
    assert servo.speed_units == pytest.approx(767_367.49, rel=1e-5)
    assert servo.acceleration_units == pytest.approx(261.93, abs=0.5)


@given(st.floats(0.0, 110_000.0))
def test_places_and_counts_agree_to_half_a_count(place_um: float) -> None:
    axis = profile(20_000.0, 102.4)
    assert abs(axis.place_um(axis.counts(place_um)) - place_um) <= 0.025 + 1e-4


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "thorlabs_apt_protocol", None)
    importlib.invalidate_caches()
    with pytest.raises(DeviceError, match="extra 'apt'") as caught:
        AptStage(StageConfig(driver="apt"), AptConfig(), SystemClock())
    assert caught.value.error_code == "STAGE-LIBRARY"


def test_every_fault_of_a_channel_has_a_code() -> None:
    codes = {f"STAGE-FAULT-{fault.upper().replace('_', '-')}" for fault in FAULTS}
    assert codes == {code for code in error_catalogue() if code.startswith("STAGE-FAULT-")}
