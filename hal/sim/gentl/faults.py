"""What can go wrong with the simulated camera, as switches."""

from __future__ import annotations

import logging
from dataclasses import dataclass, fields
from threading import Lock

log = logging.getLogger(__name__)


@dataclass
class WireFaults:
    """What goes wrong with the next frames or accesses: numbers count down, one per frame.

    Attributes:
        drop: the frame is exposed and never sent.
        incomplete: the frame is sent with lines missing, and marked so.
        stale: the frame before is sent instead.
        late: the frame is sent ``late_ms`` after its time.
        wrong_size: the frame has fewer lines than it should.
        access_errors: a register is not given or taken; one per access.
    """

    drop: float = 0
    incomplete: float = 0
    stale: float = 0
    late: float = 0
    wrong_size: float = 0
    access_errors: float = 0
    late_ms: float = 10_000.0


class FaultSwitches:
    """The switches with a lock around them."""

    def __init__(self) -> None:
        self._faults = WireFaults()
        self._lock = Lock()

    def set(self, **counts: float) -> None:
        """Set switches by name.  Raises ValueError for an unknown name or no number."""
        known = {field.name for field in fields(WireFaults)}
        with self._lock:
            for name, value in counts.items():
                if name not in known:
                    raise ValueError(f"no camera fault is called {name}")
                if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
                    raise ValueError(f"{name} = {value!r} is not a number of frames")
            for name, value in counts.items():
                setattr(self._faults, name, value)

    def take(self, name: str) -> bool:
        """Count the switch ``name`` down; return whether it was on."""
        with self._lock:
            left = getattr(self._faults, name)
            if left <= 0:
                return False
            setattr(self._faults, name, left - 1)
        log.info("simulated camera fault: %s", name)
        return True

    @property
    def late_ms(self) -> float:
        """How late a late frame is."""
        return self._faults.late_ms
