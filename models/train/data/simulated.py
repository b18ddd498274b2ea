"""Training samples from the virtual smear, with the truth of every pixel.

Donors are split by seed, never by crop.  White cells are enriched, and part of the donors has all
kinds equally often, so that rare kinds are learnt as well as common ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from hal.sim.blood.donors import KINDS, make_donor
from hal.sim.blood.smear import MONOLAYER_X_UM, MONOLAYER_Y_UM, SMEAR_X_UM, Smear
from hal.sim.dataset import background
from hal.sim.optics.imaging import Optics
from hal.sim.optics.microscope import FieldTruth, VirtualMicroscope
from hal.sim.optics.sensor import Sensor
from models.blank_glass import blank_transmission
from models.layout import BLANK_LEVEL
from models.train.data.samples import (
    CELL_KNOWN,
    CLASSES,
    NUCLEUS_KNOWN,
    STORED_CROP_PX,
    CropSet,
    FieldSet,
    cut,
)

PIXEL_UM = 0.165
SPLIT_SEEDS = {"train": 1000, "val": 2000, "test": 3000}
SEEDS_PER_SPLIT = 1000
DISEASES = (
    "healthy",
    "sickle",
    "thrombocytopenia",
    "neutropenia-mild",
    "neutropenia-moderate",
    "neutropenia-severe",
    "eosinophilia",
    "leukopenia",
)
INSTRUMENTS = 6
WHITE_CELLS_PER_MM2 = 600.0
LARGEST_CROP_DEFOCUS_UM = 1.6
LARGEST_FIELD_DEFOCUS_UM = 3.0
NEGATIVES_PER_TILE = 5
CLEAR_OF_CELLS_UM = 6.0
LEVEL_STEP = 4
LEVEL_ERROR = (0.988, 1.012)


@dataclass(frozen=True)
class Field:
    """One simulated tile, normalised, with its truth and its place."""

    gray: NDArray[np.uint8]
    truth: FieldTruth
    centre_um: tuple[float, float]
    defocus_um: float

    def pixel(self, points_um: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (n, 2) pixel coordinates of points in the stage frame."""
        height, width = self.gray.shape
        middle = np.array([width - 1, height - 1], np.float32) / 2
        offset_um = points_um.reshape(-1, 2) - np.array(self.centre_um)
        return np.asarray(offset_um / PIXEL_UM + middle, np.float32)


@lru_cache(maxsize=INSTRUMENTS)
def instrument(number: int) -> tuple[Optics, Sensor, NDArray[np.float32]]:
    """Return optics, sensor and flat-field background of one of several instruments."""
    rng = np.random.default_rng((77, number))
    optics = Optics(
        condenser_sigma=float(rng.uniform(0.22, 0.4)),
        vignetting=float(rng.uniform(0.08, 0.25)),
        seed=number + 1,
    )
    sensor = Sensor(read_noise_e=float(rng.uniform(5, 8)), seed=number + 1)
    blank = VirtualMicroscope(Smear(make_donor("healthy:1000")), optics=optics, sensor=sensor)
    return optics, sensor, background(blank)


def normalised(counts: NDArray[np.integer], blank: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a tile over its background, blank glass at 220, float32 (h, w).

    What the lamp drifted since the background, and what the film of dried plasma takes, is taken
    out as the instrument does it.
    """
    ratio = counts.astype(np.float32) / blank
    sample = np.ascontiguousarray(ratio[::LEVEL_STEP, ::LEVEL_STEP])
    return np.asarray(ratio * np.float32(BLANK_LEVEL / blank_transmission(sample)), np.float32)


def donor_names(split: str, count: int) -> list[str]:
    """Return donor names of a split, diseases in turn."""
    if count > SEEDS_PER_SPLIT:
        raise ValueError(f"a split has at most {SEEDS_PER_SPLIT} donors")
    first = SPLIT_SEEDS[split]
    return [f"{DISEASES[i % len(DISEASES)]}:{first + i}" for i in range(count)]


def _composition(rng: np.random.Generator) -> dict[str, float] | None:
    """Return flat shares of all kinds for two thirds of the donors, else the donor's own."""
    if rng.uniform() < 1 / 3:
        return None
    return dict.fromkeys(KINDS, 1.0)


def _defocus_um(rng: np.random.Generator) -> float:
    """Return what autofocus leaves, for one tile in six a field that it lost."""
    if rng.uniform() < 1 / 6:
        return float(rng.uniform(1.5, 7.0) * rng.choice((-1, 1)))
    return float(np.clip(rng.normal(0, 0.45), -1.4, 1.4))


def donor_fields(name: str, tiles: int) -> list[Field]:
    """Render ``tiles`` fields of one donor's smear, most of them in the monolayer."""
    rng = np.random.default_rng(list(name.encode()))
    donor = make_donor(name)
    smear = Smear(
        donor,
        white_cell_enrichment=WHITE_CELLS_PER_MM2 / donor.wbc_per_mm2,
        composition=_composition(rng),
    )
    optics, sensor, blank = instrument(int(rng.integers(INSTRUMENTS)))
    microscope = VirtualMicroscope(smear, pixel_um=PIXEL_UM, optics=optics, sensor=sensor)
    fields = []
    for index in range(tiles):
        ends = MONOLAYER_X_UM if rng.uniform() < 0.85 else SMEAR_X_UM
        x_um = float(rng.uniform(ends[0] + 150, ends[1] - 150))
        y_um = float(rng.uniform(MONOLAYER_Y_UM[0] + 150, MONOLAYER_Y_UM[1] - 150))
        defocus_um = _defocus_um(rng)
        counts = microscope.render(
            x_um,
            y_um,
            smear.focus_z_um(x_um, y_um) + defocus_um,
            exposure_ms=50.0,
            frame_seed=index,
            time_s=float(rng.uniform(0, 600)),
        )
        truth = microscope.truth(x_um, y_um)
        image = normalised(counts, blank) * np.float32(rng.uniform(*LEVEL_ERROR))
        gray = np.clip(np.round(image), 0, 255).astype(np.uint8)
        fields.append(Field(gray, truth, (x_um, y_um), defocus_um))
    return fields


def _class_of(kind: str) -> int:
    return CLASSES.index(kind if kind in CLASSES else "other")


def _negatives(field: Field, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return places (n, 2) in pixels that are no white cell: platelets, red cells, anywhere."""
    truth = field.truth
    height, width = field.gray.shape
    anywhere = rng.uniform((0, 0), (width, height), (4, 2)).astype(np.float32)
    groups = [field.pixel(truth.platelets), field.pixel(truth.red_cells), anywhere]
    centres = field.pixel(np.array([(c.x_um, c.y_um) for c in truth.cells], np.float32))
    chosen: list[NDArray[np.float32]] = []
    for _ in range(40):
        group = groups[int(rng.choice(3, p=(0.6, 0.25, 0.15)))]
        if len(group) == 0 or len(chosen) == NEGATIVES_PER_TILE:
            continue
        point = group[rng.integers(len(group))]
        x, y = (int(v) for v in point)
        distance_px = np.linalg.norm(centres - point, axis=1).min(initial=np.inf)
        inside = 24 <= x < width - 24 and 24 <= y < height - 24
        if inside and distance_px * PIXEL_UM > CLEAR_OF_CELLS_UM and not truth.instances[y, x]:
            chosen.append(point)
    return np.array(chosen, np.float32).reshape(-1, 2)


def crops_of(field: Field, group: str, rng: np.random.Generator) -> CropSet | None:
    """Return one crop per whole white cell of a field, and some without; None when blurred."""
    if abs(field.defocus_um) > LARGEST_CROP_DEFOCUS_UM:
        return None
    gray, labels, kinds = [], [], []
    for number, cell in enumerate(field.truth.cells, start=1):
        if cell.cut:
            continue
        (x, y), *_ = field.pixel(np.array([[cell.x_um, cell.y_um]], np.float32))
        own = np.where(field.truth.instances == number, field.truth.labels, 0).astype(np.uint8)
        gray.append(cut(field.gray, x, y, STORED_CROP_PX, BLANK_LEVEL))
        labels.append(cut(own, x, y, STORED_CROP_PX, 0))
        kinds.append(_class_of(cell.kind))
    for x, y in _negatives(field, rng):
        gray.append(cut(field.gray, x, y, STORED_CROP_PX, BLANK_LEVEL))
        labels.append(np.zeros((STORED_CROP_PX, STORED_CROP_PX), np.uint8))
        kinds.append(CLASSES.index("other"))
    if not kinds:
        return None
    return CropSet(
        np.stack(gray)[:, None],
        np.stack(labels),
        np.full(len(kinds), CELL_KNOWN | NUCLEUS_KNOWN, np.uint8),
        np.array(kinds, np.uint8),
        np.array([group] * len(kinds)),
    )


def in_focus(defocus_um: float) -> float:
    """Return 1 within 1 um of focus, falling to 0 at 3 um."""
    return float(np.clip(1 - (abs(defocus_um) - 1.0) / 2.0, 0, 1))


def _field_set(fields: Sequence[Field], group: str) -> FieldSet:
    usable = [abs(field.defocus_um) <= LARGEST_FIELD_DEFOCUS_UM for field in fields]
    cells = [
        np.array([(c.x_um, c.y_um) for c in field.truth.cells], np.float32) for field in fields
    ]
    return FieldSet(
        gray=[field.gray for field in fields],
        nuclei=[field.pixel(points) for field, points in zip(fields, cells, strict=True)],
        red_cells=[field.pixel(field.truth.red_cells) for field in fields],
        platelets=[field.pixel(field.truth.platelets) for field in fields],
        red_cells_known=usable,
        platelets_known=usable,
        in_focus=[in_focus(field.defocus_um) for field in fields],
        group=[group] * len(fields),
    )


def write_split(folder: Path, split: str, donors: int, tiles: int, skip: int = 0) -> None:
    """Write ``<split>/<donor>.cells.npz`` and ``.fields.npz`` per donor; existing ones stay."""
    for name in tqdm(donor_names(split, skip + donors)[skip:], desc=split, mininterval=10):
        stem = folder / split / name.replace(":", "-")
        if stem.with_suffix(".fields.npz").exists():
            continue
        fields = donor_fields(name, tiles)
        rng = np.random.default_rng([5, *name.encode()])
        sets = [crops for field in fields if (crops := crops_of(field, name, rng)) is not None]
        if sets:
            CropSet.join(sets).save(stem.with_suffix(".cells.npz"))
        _field_set(fields, name).save(stem.with_suffix(".fields.npz"))


def read_cells(folder: Path, split: str) -> CropSet:
    """Return the crops of all donors of a split."""
    return CropSet.join([CropSet.load(p) for p in sorted((folder / split).glob("*.cells.npz"))])


def read_fields(folder: Path, split: str) -> FieldSet:
    """Return the fields of all donors of a split."""
    return FieldSet.join([FieldSet.load(p) for p in sorted((folder / split).glob("*.fields.npz"))])
