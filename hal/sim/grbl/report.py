"""Texts of the emulated controller: status reports and fixed answers."""

from __future__ import annotations

from collections.abc import Collection, Sequence

BANNER = "Grbl 1.1h ['$' for help]"
LOCKED = "[MSG:'$H'|'$X' to unlock]"
BUILD_INFO = ("[VER:1.1h.20190830:]", "[OPT:V,15,128]")
PARAMETERS = (
    *(f"[{name}:0.000,0.000,0.000]" for name in ("G54", "G55", "G56", "G57", "G58", "G59")),
    *(f"[{name}:0.000,0.000,0.000]" for name in ("G28", "G30", "G92")),
    "[TLO:0.000]",
    "[PRB:0.000,0.000,0.000:0]",
)
PARSER_STATE = "[GC:G0 G54 G17 G21 G90 G94 M5 M9 T0 F0 S0]"
HELP = "[HLP:$$ $# $G $I $N $x=val $Nx=line $J=line $SLP $C $X $H ~ ! ? ctrl-x]"

_BUSY = frozenset({"Home", "Run", "Jog", "Hold:0", "Hold:1", "Door:0", "Door:2"})
_OFFSET_EVERY = {True: 30, False: 10}
_OVERRIDE_EVERY = {True: 20, False: 10}


class StatusReport:
    """Writes ``<..>`` lines: offsets and overrides are only said now and then."""

    def __init__(self) -> None:
        self._until_offset = 0
        self._until_override = 0

    def line(
        self, state: str, machine_mm: Sequence[float], feed_mm_per_min: float, pins: Collection[str]
    ) -> str:
        """Return one status report."""
        place = ",".join(f"{value:.3f}" for value in machine_mm)
        parts = [state, f"MPos:{place}", f"FS:{feed_mm_per_min:.0f},0"]
        if pins:
            parts.append("Pn:" + "".join(sorted(pins)))
        busy = state in _BUSY
        if self._until_offset > 0:
            self._until_offset -= 1
        else:
            self._until_offset = _OFFSET_EVERY[busy] - 1
            self._until_override = max(self._until_override, 1)
            parts.append("WCO:0.000,0.000,0.000")
        if self._until_override > 0:
            self._until_override -= 1
        else:
            self._until_override = _OVERRIDE_EVERY[busy] - 1
            parts.append("Ov:100,100,100")
        return "<" + "|".join(parts) + ">"
