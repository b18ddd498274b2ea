"""When the simulated camera goes wrong, by the number of its exposure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class CameraScript:
    """What happens at which exposure, counted from 0 over all openings.

    Attributes:
        faults: name of a switch of :class:`hal.sim.gentl.faults.WireFaults`, by exposure.
        away_s: by exposure, for how many seconds its cable is out; for ever when negative.
        absent_s: for how long it is not there at first; for ever when negative.
        without: features that it does not have.
        allowed: what it allows of a feature, by name: ``low``, ``high`` and ``step`` of a number,
            ``entries`` of an enumeration, ``writable``.
        refused: for each opening, the feature and the value that it does not take then, or None;
            the last one stands for all that follow.
    """

    faults: Mapping[int, str] = field(default_factory=dict)
    away_s: Mapping[int, float] = field(default_factory=dict)
    absent_s: float = 0.0
    without: frozenset[str] = frozenset()
    allowed: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    refused: tuple[tuple[str, float | str] | None, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-compatible values."""
        return {**asdict(self), "without": sorted(self.without)}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> CameraScript:
        """Return the script of :meth:`as_dict`.  Raises ValueError, TypeError, KeyError."""
        return cls(
            faults={int(at): str(fault) for at, fault in document["faults"].items()},
            away_s={int(at): float(away_s) for at, away_s in document["away_s"].items()},
            absent_s=float(document["absent_s"]),
            without=frozenset(document["without"]),
            allowed={str(name): dict(what) for name, what in document["allowed"].items()},
            refused=tuple(
                None if pair is None else (str(pair[0]), pair[1]) for pair in document["refused"]
            ),
        )
