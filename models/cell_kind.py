"""What the classifier can call a candidate, and the order of its outputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum

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


FIVE_TYPES = (
    CellKind.NEUTROPHIL,
    CellKind.EOSINOPHIL,
    CellKind.BASOPHIL,
    CellKind.LYMPHOCYTE,
    CellKind.MONOCYTE,
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
