"""Answers of the emulated controller to its ``$`` lines, except homing and jogs."""

from __future__ import annotations

from hal.sim.grbl.gcode import GcodeError
from hal.sim.grbl.report import BUILD_INFO, HELP, PARAMETERS, PARSER_STATE
from hal.sim.grbl.settings import GrblSettings

_FIXED: dict[str, tuple[str, ...]] = {"$": (HELP,), "$G": (PARSER_STATE,)}
_FIXED_AT_REST: dict[str, tuple[str, ...]] = {
    "$I": BUILD_INFO,
    "$#": PARAMETERS,
    "$N": ("$N0=", "$N1="),
}


def answer_system_line(line: str, state: str, settings: GrblSettings) -> tuple[list[str], str]:
    """Return what is said to ``line`` and the state after it.

    Args:
        line: starts with ``$``.
        state: as a status report names it, e.g. ``Jog``.
        settings: changed by ``$n=value``.

    Raises:
        GcodeError: the line is refused.
    """
    if line in _FIXED:
        return [*_FIXED[line], "ok"], state
    if line == "$$":
        if state == "Run":
            raise GcodeError(8)
        return [*settings.lines(), "ok"], state
    if line == "$X":
        return (["[MSG:Caution: Unlocked]", "ok"], "Idle") if state == "Alarm" else (["ok"], state)
    if line == "$C":
        if state != "Idle":
            raise GcodeError(8)
        return ["[MSG:Enabled]", "ok"], "Check"
    require_rest(state)
    if line in _FIXED_AT_REST:
        return [*_FIXED_AT_REST[line], "ok"], state
    if line == "$SLP":
        return ["ok", "[MSG:Sleeping]"], "Sleep"
    if line.startswith("$H"):
        # The firmware has already entered the homing state when it finds the line wrong.
        return ["error:3"], "Home"
    _store_setting(line, settings)
    return ["ok"], state


def require_rest(state: str) -> None:
    """Refuse what is only allowed when idle or locked.  Raises GcodeError."""
    if state not in ("Idle", "Alarm"):
        raise GcodeError(8)


def _store_setting(line: str, settings: GrblSettings) -> None:
    number, equals, value = line[1:].partition("=")
    try:
        code = settings.store(float(number), float(value)) if equals else 3
    except ValueError:
        code = 3
    if code:
        raise GcodeError(code)
