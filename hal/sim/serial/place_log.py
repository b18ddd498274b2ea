"""Where the slide was: for a camera whose process asks after the exposure."""

from __future__ import annotations

from collections import deque

from hal.sim.serial.trapezoid import Vector

_KEPT = 4096


class PlaceLog:
    """The places before each command that could change them; the owner's lock guards it."""

    def __init__(self) -> None:
        self._places: deque[tuple[float, Vector]] = deque(maxlen=_KEPT)

    def note(self, time_s: float, place_um: Vector) -> None:
        """Remember the place at ``time_s``; times do not go back."""
        self._places.append((time_s, place_um))

    def at(self, time_s: float, now_um: Vector) -> Vector:
        """Return the place at ``time_s``, if the slide was at rest then.

        Args:
            time_s: of the clock of the notes.
            now_um: the present place, for the time since the last note.
        """
        place_um = now_um
        for noted_s, noted_um in reversed(self._places):
            if noted_s < time_s:
                break
            place_um = noted_um
        return place_um
