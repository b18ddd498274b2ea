"""The checkpoint on "dead" calls (Kaza et al., BME Frontiers 2022, 9853606).

The paper lets mean intensity, Euler number and area turn a "dead" call back.  Here the three act
as evidence: a dense, compact, whole nucleus in a cell of ordinary size divides the odds of "dead"
by a fixed factor, so that a doubtful call turns back and a certain one stands.  In simulated smears
the nuclei of dead cells transmit 0.72 to 0.89, those of live ones 0.14 to 0.71.
"""

from __future__ import annotations

from collections.abc import Mapping

from device.analysis.postprocess import CellShape
from device.results.cell import CellKind

_MAX_NUCLEUS_TRANSMISSION = 0.62
_EULER_NUMBERS = range(6)
_AREA_UM2 = (30.0, 280.0)
_ODDS_FACTOR = 10.0


def looks_alive(shape: CellShape, pixel_um: float) -> bool:
    """Return whether intensity, Euler number and area are those of a live cell."""
    return (
        shape.nucleus_transmission <= _MAX_NUCLEUS_TRANSMISSION
        and shape.euler_number in _EULER_NUMBERS
        and _AREA_UM2[0] <= shape.area_px * pixel_um**2 <= _AREA_UM2[1]
    )


def reconsider_dead(
    probabilities: Mapping[CellKind, float], shape: CellShape, pixel_um: float
) -> dict[CellKind, float]:
    """Return the probabilities with the odds of a doubtful "dead" call lowered; sum stays 1."""
    weights = dict(probabilities)
    if max(weights, key=lambda kind: weights[kind]) is CellKind.DEAD and looks_alive(
        shape, pixel_um
    ):
        weights[CellKind.DEAD] /= _ODDS_FACTOR
    total = sum(weights.values())
    return {kind: weight / total for kind, weight in weights.items()}
