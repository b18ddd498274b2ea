"""What the controller must be set to, compared with what it says at connection."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from hal.config import StageConfig
from hal.errors import StageError
from hal.stage.grbl import wire

OLDEST_VERSION = (1, 1)
"""The first with jogs ($J=), which a cancel stops with the position kept."""

LONGEST_JOG_BYTES = 79
"""One line is in flight at a time, and it must fit the receive buffer as a whole."""

ZERO_AT_HOME = "Z"
"""Build option: homing makes its own place the origin instead of counting from the far end."""

SETTING_NAMES: dict[int, str] = {
    10: "status report mask",
    13: "report in inches",
    20: "soft limits",
    21: "hard limits",
    22: "homing cycle",
    23: "homing direction mask",
    27: "homing pull-off, mm",
    100: "x steps/mm",
    101: "y steps/mm",
    102: "z steps/mm",
    110: "x maximum rate, mm/min",
    111: "y maximum rate, mm/min",
    112: "z maximum rate, mm/min",
    120: "x acceleration, mm/s2",
    121: "y acceleration, mm/s2",
    122: "z acceleration, mm/s2",
    130: "x travel, mm",
    131: "y travel, mm",
    132: "z travel, mm",
}


def expected_settings(config: StageConfig) -> dict[int, float]:
    """Return the value every checked ``$n`` must have."""
    return {
        10: 1,
        13: 0,
        20: 1,
        21: 1,
        22: 1,
        23: 7,
        27: config.homing_pulloff_mm,
        100: config.steps_per_mm_xy,
        101: config.steps_per_mm_xy,
        102: config.steps_per_mm_z,
        110: config.feed_xy_mm_per_min,
        111: config.feed_xy_mm_per_min,
        112: config.feed_z_mm_per_min,
        120: config.acceleration_xy_mm_per_s2,
        121: config.acceleration_xy_mm_per_s2,
        122: config.acceleration_z_mm_per_s2,
        130: config.travel_x_mm,
        131: config.travel_y_mm,
        132: config.travel_z_mm,
    }


def check_identity(build: Iterable[wire.Info]) -> None:
    """Check the answer to ``$I``: a GRBL new enough for jogs, built to count as the profile does.

    Raises:
        StageError: another device, an old firmware, or one built differently.
    """
    told = {info.key: info.text for info in build}
    if "VER" not in told:
        said = ", ".join(f"[{key}:{text}]" for key, text in told.items())
        raise StageError("STAGE-IDENTITY", said=said or "nothing")
    version = re.match(r"(\d+)\.(\d+)", told["VER"])
    if version is None or (int(version[1]), int(version[2])) < OLDEST_VERSION:
        raise StageError("STAGE-FIRMWARE", version=told["VER"])
    letters, _, sizes = told.get("OPT", "").partition(",")
    if ZERO_AT_HOME in letters:
        raise StageError("STAGE-FIRMWARE-ORIGIN")
    receive_bytes = sizes.split(",")[1:2]
    if receive_bytes and receive_bytes[0].isdecimal() and int(receive_bytes[0]) < LONGEST_JOG_BYTES:
        raise StageError("STAGE-FIRMWARE-BUFFER", size=receive_bytes[0])


def check_profile(config: StageConfig, found: Mapping[int, float]) -> None:
    """Compare ``found`` with the profile.

    Raises:
        StageError: a setting is missing or differs; names each of them.
    """
    problems = [
        f"${number} ({SETTING_NAMES[number]}) is {found.get(number, 'missing')}, not {value:g}"
        for number, value in expected_settings(config).items()
        if number not in found or abs(found[number] - value) > 0.0005
    ]
    if problems:
        raise StageError("STAGE-PROFILE", differences="; ".join(problems))
