"""A place at which images are taken."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Field:
    """One place of the plan: the tile's row and column, and its centre in the stage frame."""

    row: int
    column: int
    x_um: float
    y_um: float
