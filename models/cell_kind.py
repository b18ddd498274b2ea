"""What the classifier can call a candidate, and how each class is judged and drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from models.errors import ModelError


class CellKind(StrEnum):
    """The five types, a dead cell, or another nucleated thing.

    Training stores samples by their position here.  What runs a network never does: the order of
    its outputs is the one that its manifest names.
    """

    NEUTROPHIL = "neutrophil"
    EOSINOPHIL = "eosinophil"
    BASOPHIL = "basophil"
    LYMPHOCYTE = "lymphocyte"
    MONOCYTE = "monocyte"
    DEAD = "dead"
    OTHER = "other"


UNIDENTIFIED = "unidentified"
"""What a cell is called whose class is not certain enough."""

FIVE_TYPES = (
    CellKind.NEUTROPHIL,
    CellKind.EOSINOPHIL,
    CellKind.BASOPHIL,
    CellKind.LYMPHOCYTE,
    CellKind.MONOCYTE,
)


@dataclass(frozen=True)
class Traits:
    """How a class is judged and drawn.

    Attributes:
        colour_rgb: of its boxes and bars, 0xRRGGBB.
        adult_range_percent: adult reference range of its share; None outside the differential.
        tints: CIE a* and b* per darkness (100 - L*) of its cytoplasm and its nucleus in the
            virtual stain; None for a class that keeps the colours of the network.
    """

    colour_rgb: int
    adult_range_percent: tuple[float, float] | None = None
    tints: tuple[tuple[float, float], tuple[float, float]] | None = None


_VIOLET = (0.72, -0.82)

TRAITS: Mapping[CellKind, Traits] = MappingProxyType(
    {
        CellKind.NEUTROPHIL: Traits(0x0D39EF, (40.0, 75.0), ((0.30, -0.10), _VIOLET)),
        CellKind.EOSINOPHIL: Traits(0x9C1305, (1.0, 6.0), ((0.95, 2.10), _VIOLET)),
        CellKind.BASOPHIL: Traits(0x7A1C87, (0.0, 1.0), ((0.25, -1.55), (0.62, -0.98))),
        CellKind.LYMPHOCYTE: Traits(0x02AF67, (20.0, 45.0), ((-0.05, -1.10), _VIOLET)),
        CellKind.MONOCYTE: Traits(0xC29000, (2.0, 10.0), ((0.15, -0.65), (0.70, -0.75))),
        CellKind.DEAD: Traits(0x4E4F4E),
        CellKind.OTHER: Traits(0x090B0D),
    }
)


def kinds_named(names: Sequence[str]) -> tuple[CellKind, ...]:
    """Return the kinds of these names, in their order.

    Raises:
        ModelError: a name is unknown, or a kind is missing or listed twice.
    """
    known = {kind.value for kind in CellKind}
    faults = {
        "unknown": sorted(set(names) - known),
        "missing": sorted(known - set(names)),
        "doubled": sorted(name for name, count in Counter(names).items() if count > 1),
    }
    if any(faults.values()):
        said = "; ".join(
            f"{fault}: {', '.join(listed)}" for fault, listed in faults.items() if listed
        )
        raise ModelError("MODEL-CLASSES", faults=said)
    return tuple(CellKind(name) for name in names)
