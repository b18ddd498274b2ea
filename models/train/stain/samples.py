"""Fields with their pseudo-colour: what the virtual stain learns from and is measured on."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from hal.errors import InputError
from hal.sim.blood.donors import KINDS, make_donor
from hal.sim.blood.masses import WAVELENGTHS_NM, Float32Array
from hal.sim.blood.smear import MONOLAYER_X_UM, MONOLAYER_Y_UM, Smear
from hal.sim.optics.microscope import FieldTruth, VirtualMicroscope
from models.layout import BLANK_LEVEL
from models.train.data.simulated import (
    INSTRUMENTS,
    PIXEL_UM,
    WHITE_CELLS_PER_MM2,
    donor_names,
    instrument,
)
from models.train.stain.pseudocolor import GRANULES, pseudo_colour

EXPOSURE_MS = 50.0
EDGE_SIGMA_PX = 1.2
MARGIN_UM = 150.0
FOCUS_SIGMA_UM = 0.45
LARGEST_DEFOCUS_UM = 1.5


@dataclass(frozen=True)
class StainSet:
    """Fields of one donor.

    Attributes:
        gray: uint8 (n, h, w), normalised 260 nm images, as recorded.
        colour: uint8 (n, h, w, 3), sRGB pseudo-colour of the same fields.
        cells: float32 (m, 4), field, x_px, y_px, index into ``hal.sim.blood.donors.KINDS``.
        defocus_um: float32 (n,).
        enriched: bool (n,), white cells of all kinds, far more than in blood.
    """

    gray: NDArray[np.uint8]
    colour: NDArray[np.uint8]
    cells: NDArray[np.float32]
    defocus_um: NDArray[np.float32]
    enriched: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.gray)

    def save(self, path: Path) -> None:
        """Write a compressed npz file at once: a donor that is there is whole."""
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        with part.open("wb") as stream:
            np.savez_compressed(stream, **{f.name: getattr(self, f.name) for f in fields(self)})
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what :meth:`save` wrote."""
        with np.load(path) as archive:
            return cls(**{field.name: archive[field.name] for field in fields(cls)})


def granule_maps(truth: FieldTruth) -> dict[str, Float32Array]:
    """Return where granules lie by the simulator's labels, per kind float32 (h, w), 0..1.

    A basophil's granules lie over its nucleus, an eosinophil's around it.
    """
    maps = {}
    for kind in GRANULES:
        numbers = [i for i, cell in enumerate(truth.cells, start=1) if cell.kind == kind]
        where = np.isin(truth.instances, numbers)
        if kind == "eosinophil":
            where &= truth.labels == 1
        soft = cv2.GaussianBlur(where.astype(np.float32), (0, 0), EDGE_SIGMA_PX)
        maps[kind] = np.asarray(soft, np.float32)
    return maps


def _microscope(name: str, *, enriched: bool) -> tuple[VirtualMicroscope, Float32Array]:
    """Return a donor's smear under one of the instruments, and its flat-field background."""
    donor = make_donor(name)
    rng = np.random.default_rng(list(name.encode()))
    optics, sensor, blank = instrument(int(rng.integers(INSTRUMENTS)))
    if enriched:
        smear = Smear(
            donor,
            white_cell_enrichment=WHITE_CELLS_PER_MM2 / donor.wbc_per_mm2,
            composition=dict.fromkeys(KINDS, 1.0),
        )
    else:
        smear = Smear(donor)
    return VirtualMicroscope(smear, pixel_um=PIXEL_UM, optics=optics, sensor=sensor), blank


def field(
    microscope: VirtualMicroscope,
    x_um: float,
    y_um: float,
    defocus_um: float,
    blank: Float32Array,
    frame_seed: int,
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], FieldTruth]:
    """Return one field's gray image, its pseudo-colour and its truth.

    The gray image is one noisy frame over the flat field.  The pseudo-colour is made from the
    noise-free transmission at the three wavelengths at the same focus, what the mean of many
    frames tends to: it holds no pixel of the gray image.
    """
    z_um = microscope.smear.focus_z_um(x_um, y_um) + defocus_um
    counts = microscope.render(x_um, y_um, z_um, exposure_ms=EXPOSURE_MS, frame_seed=frame_seed)
    gray = np.clip(np.round(counts / blank * BLANK_LEVEL), 0, 255).astype(np.uint8)
    stack = np.stack([microscope.transmission(x_um, y_um, z_um, nm) for nm in WAVELENGTHS_NM])
    truth = microscope.truth(x_um, y_um)
    return gray, pseudo_colour(stack, granule_maps(truth)), truth


def _cells(
    truth: FieldTruth, index: int, x_um: float, y_um: float, shape: tuple[int, ...]
) -> list[tuple[float, float, float, float]]:
    middle_x, middle_y = (shape[1] - 1) / 2, (shape[0] - 1) / 2
    return [
        (
            index,
            (cell.x_um - x_um) / PIXEL_UM + middle_x,
            (cell.y_um - y_um) / PIXEL_UM + middle_y,
            KINDS.index(cell.kind),
        )
        for cell in truth.cells
    ]


def donor_set(name: str, enriched: int, natural: int) -> StainSet:
    """Render fields of one donor's monolayer, first with white cells enriched, then as they are."""
    gray, colour, defocus = [], [], []
    cells: list[tuple[float, float, float, float]] = []
    rich = [True] * enriched + [False] * natural
    for index in range(len(rich)):
        if index in (0, enriched):
            microscope, blank = _microscope(name, enriched=rich[index])
        rng = np.random.default_rng([index, *name.encode()])
        x_um = float(rng.uniform(MONOLAYER_X_UM[0] + MARGIN_UM, MONOLAYER_X_UM[1] - MARGIN_UM))
        y_um = float(rng.uniform(MONOLAYER_Y_UM[0] + MARGIN_UM, MONOLAYER_Y_UM[1] - MARGIN_UM))
        offset_um = rng.normal(0, FOCUS_SIGMA_UM)
        offset_um = float(np.clip(offset_um, -LARGEST_DEFOCUS_UM, LARGEST_DEFOCUS_UM))
        image, target, truth = field(microscope, x_um, y_um, offset_um, blank, index)
        gray.append(image)
        colour.append(target)
        defocus.append(offset_um)
        cells += _cells(truth, index, x_um, y_um, image.shape)
    return StainSet(
        np.stack(gray),
        np.stack(colour),
        np.array(cells, np.float32).reshape(-1, 4),
        np.array(defocus, np.float32),
        np.array(rich),
    )


def write_split(folder: Path, split: str, donors: int, enriched: int, natural: int) -> None:
    """Write ``<split>/<donor>.stain.npz`` per donor; donors that are there already stay."""
    for name in tqdm(donor_names(split, donors), desc=split, mininterval=10):
        path = folder / split / f"{name.replace(':', '-')}.stain.npz"
        if not path.exists():
            donor_set(name, enriched, natural).save(path)


def read_split(folder: Path, split: str) -> list[StainSet]:
    """Return the donors of a split.

    Raises:
        InputError: nothing was found.
    """
    paths = sorted((folder / split).glob("*.stain.npz"))
    if not paths:
        raise InputError("TRAIN-STAIN-SAMPLES-MISSING", folder=folder / split)
    return [StainSet.load(path) for path in paths]
