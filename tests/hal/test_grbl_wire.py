"""Laws of the wire format: whatever comes is understood or called damaged, never believed."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hal.stage.grbl import wire

coordinates = st.integers(-999_999_999, 999_999_999).map(lambda micrometres: micrometres / 1000.0)
states = st.sampled_from(sorted(wire.STATES))
extras = st.dictionaries(
    st.sampled_from(["FS", "F", "WCO", "Ov", "Bf", "Ln", "A", "H", "T"]),
    st.text("0123456789.,-", min_size=1, max_size=12),
    max_size=5,
)


@given(states, st.none() | st.integers(0, 3), coordinates, coordinates, coordinates, extras)
def test_a_status_survives_whatever_fields_come_with_it(
    state: str, substate: int | None, x: float, y: float, z: float, fields: dict[str, str]
) -> None:
    head = state if substate is None else f"{state}:{substate}"
    parts = [head, f"MPos:{x:.3f},{y:.3f},{z:.3f}", "Pn:XZ"]
    fields["FS"] = "1500,0"
    parts += [f"{key}:{value}" for key, value in fields.items()]
    status = wire.parse_line("<" + "|".join(parts) + ">")
    assert status == wire.Status(state, substate, (x, y, z), "XZ", fields)


@given(st.text(max_size=120))
def test_no_text_makes_the_parser_fail(text: str) -> None:
    wire.parse_line(text)


def test_a_status_with_a_missing_piece_loses_no_decimals() -> None:
    line = "<Jog|MPos:-97.992,-5.500,-18.816|FS:1500,0>"
    whole = wire.parse_line(line)
    assert isinstance(whole, wire.Status)
    for start, end in combinations(range(len(line) + 1), 2):
        reply = wire.parse_line(line[:start] + line[end:])
        if isinstance(reply, wire.Status):
            # Three decimals must be there, so only leading digits of a number can be missing.
            for damaged, true in zip(reply.machine_mm, whole.machine_mm, strict=True):
                assert damaged == true or f"{abs(true):.3f}".endswith(f"{abs(damaged):.3f}"[-4:])


@pytest.mark.parametrize(
    "line",
    [
        "<Idle|MPos:0.000,0.000|FS:0,0>",
        "<Idle|MPos:0.000,0.000,0.00|FS:0,0>",
        "<Idle|MPos:0.000,0.000,nan|FS:0,0>",
        "<Idle|MPos:0.000,0.000,0.000|FS:0,0",
        "<Idel|MPos:0.000,0.000,0.000|FS:0,0>",
        "<Idle|FS:0,0>",
        "<Idle|MPos:0.000,0.000,0.000>",
        "<Hold:x|MPos:0.000,0.000,0.000|FS:0,0>",
        "<>",
        "okk",
        "error:",
        "ALARM:1x",
        "rl 1.1h",
    ],
)
def test_a_damaged_line_is_called_damaged(line: str) -> None:
    assert wire.parse_line(line) == wire.Damaged(line)


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        ("Grbl 1.1h ['$' for help]", wire.Banner("1.1h")),
        ("GrblHAL 1.1f ['$' or '$HELP' for help]", wire.Banner("1.1f")),
        ("error:15", wire.ErrorCode(15)),
        ("ALARM:9", wire.AlarmCode(9)),
        ("$130=100.000", wire.Setting(130, 100.0)),
        ("$130=100.000 (x max travel)", wire.Setting(130, 100.0)),
        ("[MSG:Reset to continue]", wire.Info("MSG", "Reset to continue")),
        ("[VER:1.1h.20190830:]", wire.Info("VER", "1.1h.20190830:")),
    ],
)
def test_known_lines(line: str, reply: wire.Reply) -> None:
    assert wire.parse_line(line) == reply


@given(coordinates, coordinates)
def test_a_jog_line_is_absolute_and_fits_the_controllers_line(x: float, z: float) -> None:
    line = wire.jog_line({"X": x, "Z": z}, 1500.0)
    assert line.startswith("$J=G90 G21 G53 ")
    assert len(line.replace(" ", "")) < 80
    assert abs(float(line.split(" X")[1].split()[0]) - x) <= 0.00005 + 1e-9


def test_a_jog_to_nowhere_is_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        wire.jog_line({"X": float("nan")}, 1500.0)
