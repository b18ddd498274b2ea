"""GRBL's error and alarm numbers as our errors, each with a cause and a remedy."""

from __future__ import annotations

from hal.errors import StageAlarmError, StageError, StageLimitError

_HOME_AGAIN = "Check that nothing blocks the stage, then home it."
_BUG = "The controller did not understand the instrument: check cable and firmware version."

ALARMS: dict[int, tuple[str, str]] = {
    1: ("A limit switch was hit during a move", _HOME_AGAIN),
    2: ("A move would have left the controller's soft limits", "Home the stage."),
    3: ("The controller was reset during a move and lost its position", "Home the stage."),
    4: ("The probe was in the wrong state", "Home the stage."),
    5: ("The probe did not touch", "Home the stage."),
    6: ("Homing was interrupted by a reset", "Home the stage."),
    7: ("The door input opened while homing", "Close the lid, then home the stage."),
    8: (
        "Homing could not move off a limit switch",
        "Check the limit switches for one that is stuck or held, then home the stage.",
    ),
    9: (
        "Homing found no limit switch",
        "Check the limit switches and their cables, and that every axis moves; then home.",
    ),
    10: ("The emergency stop is active (grblHAL)", "Release the emergency stop, then home."),
    11: ("The controller requires homing (grblHAL)", "Home the stage."),
    12: ("A limit switch is engaged (grblHAL)", _HOME_AGAIN),
    14: ("The spindle input is faulty (grblHAL)", "Check the controller's configuration."),
    17: ("A motor driver reports a fault (grblHAL)", "Check the motors and their supply."),
}

ERRORS: dict[int, tuple[str, str]] = {
    1: ("a G-code word had no letter", _BUG),
    2: ("a number could not be read", _BUG),
    3: ("a $ command is not known", _BUG),
    4: ("a value was negative", _BUG),
    5: ("homing is switched off", "Switch homing on ($22=1)."),
    6: ("a step pulse is too short", "Correct setting $0."),
    7: ("the settings memory was damaged and reset", "Write the instrument's settings again."),
    8: ("the command is not allowed now", "Wait until the stage is idle, or home it."),
    9: ("the controller is locked by an alarm or a jog", "Home the stage."),
    10: ("soft limits need homing", "Switch homing on ($22=1)."),
    11: ("the line was too long", _BUG),
    12: ("a step rate is too high", "Lower the speed or the steps per mm."),
    13: ("the safety door is open", "Close the lid."),
    14: ("the start-up line was too long", _BUG),
    15: ("the target is outside the travel", "Choose a target inside the travel."),
    16: ("the jog command was malformed", _BUG),
    17: ("laser mode needs PWM", "Set $32=0."),
    20: ("a G-code command is not supported", _BUG),
    21: ("two commands of one group stood in one line", _BUG),
    22: ("no speed was given", _BUG),
    24: ("two commands needed the same axis words", _BUG),
    25: ("a word was repeated", _BUG),
    26: ("axis words are missing", _BUG),
}


def alarm_error(code: int) -> StageAlarmError:
    """Return the error for ``ALARM:code``."""
    cause, remedy = ALARMS.get(code, ("The controller raised an unknown alarm", _HOME_AGAIN))
    return StageAlarmError(f"{cause} (ALARM:{code}).", remedy=remedy, code=f"STAGE-ALARM-{code}")


def refusal_error(code: int, line: str) -> StageError:
    """Return the error for ``error:code`` answered to ``line``."""
    cause, remedy = ERRORS.get(code, ("the reason is not known", _BUG))
    kind = StageLimitError if code == 15 else StageError
    return kind(
        f"The stage controller refused {line!r}: {cause} (error:{code}).",
        remedy=remedy,
        code=f"STAGE-REFUSED-{code}",
    )
