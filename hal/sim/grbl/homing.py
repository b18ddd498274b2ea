"""How long the emulated controller's homing takes, and where it fails."""

from __future__ import annotations

from hal.sim.grbl.settings import GrblSettings
from hal.sim.serial.trapezoid import Trapezoid, Vector

# The firmware homes z first, then x and y together.
_CYCLES: tuple[tuple[int, ...], ...] = ((2,), (0, 1))
_SEARCH_FACTOR = 1.5
_TOUCHES = 2


def homing_duration_s(place_mm: Vector, settings: GrblSettings) -> float:
    """Return the time of a good homing cycle that starts at ``place_mm``.

    Each cycle seeks the switch fast, backs off, finds it again slowly and backs off, with the
    debounce time $26 after each of the four.
    """
    total_s = 0.0
    for axes in _CYCLES:
        ways_mm = [place_mm[axis] + settings.axes(130)[axis] for axis in axes]
        total_s += max(
            _travel_s(max(way_mm, 0.0), axis, settings)
            for way_mm, axis in zip(ways_mm, axes, strict=True)
        )
        total_s += _TOUCHES * _travel_s(settings[27], axes[0], settings)
        total_s += settings[27] / settings[24] * 60.0
        total_s += 2 * _TOUCHES * settings[26] / 1000.0
    return total_s


def homing_alarm_after(code: int, settings: GrblSettings) -> tuple[float, Vector]:
    """Return after how many seconds homing fails with ``code``, and the position then reported."""
    travel_x, travel_y, travel_z = settings.axes(130)
    if code == 9:
        search_mm = _SEARCH_FACTOR * travel_z
        return _travel_s(search_mm, 2, settings), (0.0, 0.0, -search_mm)
    pulloff = settings[27]
    z_cycle_s = homing_duration_s((-travel_x, -travel_y, pulloff - travel_z), settings) / 2.0
    return z_cycle_s + _travel_s(pulloff, 0, settings), (pulloff, pulloff, pulloff - travel_z)


def _travel_s(length_mm: float, axis: int, settings: GrblSettings) -> float:
    rate_mm_per_s = min(settings[25], settings.axes(110)[axis]) / 60.0
    return Trapezoid(length_mm, 0.0, rate_mm_per_s, settings.axes(120)[axis]).duration
