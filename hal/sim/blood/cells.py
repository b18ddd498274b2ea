"""White cells as areal-mass maps with their morphology.

Masses are chosen so that nucleus and cytoplasm of each type transmit at 260, 280 and 300 nm what
deep-UV microscopy of dried smears reports; sizes, lobes and granules follow the textbook values
of blood smears.  Every number varies from cell to cell and from donor to donor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hal.sim.blood import granulocytes, mononuclears
from hal.sim.blood.cell_draft import Draft, blended
from hal.sim.blood.donors import Donor
from hal.sim.blood.masses import Channel, Float32Array
from hal.sim.blood.seeds import generator

CYTOPLASM_LABEL = 1
NUCLEUS_LABEL = 2

# Mean and standard deviation, limits of the cell diameter on a dried smear, um.
DIAMETERS_UM = {
    "neutrophil": (13.1, 0.9, 10.0, 15.5),
    "eosinophil": (13.2, 0.9, 10.0, 17.0),
    "basophil": (12.5, 1.1, 8.5, 15.0),
    "lymphocyte": (9.6, 0.8, 7.0, 15.0),
    "monocyte": (15.6, 1.3, 12.0, 20.0),
    "erythroblast": (9.7, 1.0, 7.5, 12.5),
    "immature_granulocyte": (15.0, 1.4, 12.0, 19.0),
    "dead": (15.0, 1.8, 11.0, 20.0),
}
LARGE_LYMPHOCYTE_SHARE = 0.35
_COMMON_DIAMETER_UM = (12.2, 1.0, 9.0, 16.0)


@dataclass(frozen=True)
class CellStamp:
    """One white cell on its own pixel grid; the cell's centre is the middle pixel.

    Attributes:
        masses: float32 (CHANNELS, n, n), see :class:`hal.sim.blood.masses.Channel`.
        depth_um: float32 (2, n, n), how deep inside the cell and inside its nucleus a point lies,
            within 1 um; negative outside.  Both edges lie where half of the mass is left.
        area_um2: of the whole cell.
        nucleus_area_um2: of the nucleus.
        nucleic_acid_pg: in the whole cell.
    """

    masses: Float32Array
    depth_um: Float32Array
    area_um2: float
    nucleus_area_um2: float
    nucleic_acid_pg: float


def draw_diameter_um(kind: str, donor: Donor, rng: np.random.Generator) -> float:
    """Draw the diameter of a cell of ``kind``."""
    mean, spread, low, high = DIAMETERS_UM[kind]
    if kind == "lymphocyte" and rng.random() < LARGE_LYMPHOCYTE_SHARE:
        mean, spread = 11.4, 1.2
    mean, spread, low, high = (
        blended(own, common, donor)
        for own, common in zip((mean, spread, low, high), _COMMON_DIAMETER_UM, strict=True)
    )
    return float(np.clip(rng.normal(mean, spread) * donor.size_factor, low, high))


def labels_of(depth_um: Float32Array) -> NDArray[np.uint8]:
    """Return uint8 (n, n), 0 outside, 1 cytoplasm, 2 nucleus, of a stamp's depths."""
    labels = np.where(depth_um[0] > 0, CYTOPLASM_LABEL, 0).astype(np.uint8)
    labels[depth_um[1] > 0] = NUCLEUS_LABEL
    return labels


def white_cell(
    kind: str, key: tuple[int | str, ...], diameter_um: float, donor: Donor, pixel_um: float
) -> CellStamp:
    """Draw one white cell.

    Args:
        kind: one of :data:`hal.sim.blood.donors.KINDS`.
        key: the cell's own random stream.
        diameter_um: of a circle of the cell's area.
        donor: whose cell it is.
        pixel_um: of the grid to draw on.
    """
    rng = generator(*key)
    draft = _DRAW[kind](rng, diameter_um, donor, pixel_um)
    depth_um = np.stack([draft.cell - np.float32(draft.edge_um), draft.nucleus])
    depth_um = np.clip(depth_um, -1.0, 1.0).astype(np.float32)
    labels = labels_of(depth_um)
    pixel_um2 = pixel_um**2
    return CellStamp(
        masses=draft.masses,
        depth_um=depth_um,
        area_um2=float(np.count_nonzero(labels)) * pixel_um2,
        nucleus_area_um2=float(np.count_nonzero(labels == NUCLEUS_LABEL)) * pixel_um2,
        nucleic_acid_pg=float(draft.masses[Channel.NUCLEIC_ACID].sum()) * pixel_um2,
    )


_DRAW: dict[str, Callable[[np.random.Generator, float, Donor, float], Draft]] = {
    "neutrophil": granulocytes.neutrophil,
    "eosinophil": granulocytes.eosinophil,
    "basophil": granulocytes.basophil,
    "lymphocyte": mononuclears.lymphocyte,
    "monocyte": mononuclears.monocyte,
    "erythroblast": mononuclears.erythroblast,
    "immature_granulocyte": granulocytes.immature_granulocyte,
    "dead": mononuclears.dead,
}
