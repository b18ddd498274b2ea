"""Simulated donors: a name and a seed give a blood count and the look of its cells."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np

from hal.errors import InputError
from hal.sim.blood.seeds import generator

LIVE_TYPES = ("neutrophil", "eosinophil", "basophil", "lymphocyte", "monocyte")
OTHER_KINDS = ("erythroblast", "immature_granulocyte", "dead")
KINDS = LIVE_TYPES + OTHER_KINDS

# Reference ranges of the differential of healthy adults, share of the white cells.
HEALTHY_SHARES = MappingProxyType(
    {
        "neutrophil": (0.40, 0.75),
        "eosinophil": (0.0, 0.055),
        "basophil": (0.0, 0.01),
        "lymphocyte": (0.12, 0.44),
        "monocyte": (0.04, 0.09),
    }
)

# Neutrophils per nanolitre (1e9/L) by grade.
NEUTROPENIA_GRADES = MappingProxyType(
    {"mild": (1.0, 1.5), "moderate": (0.5, 1.0), "severe": (0.05, 0.5)}
)


@dataclass(frozen=True)
class Donor:
    """The blood of one simulated person.

    Attributes:
        name: the specification it was made from, such as ``healthy:42``.
        disease: the part of the name before the colon.
        seed: the part after it.
        composition: share of each of the five types among live five-type cells; sums to 1.
        erythroblast_fraction: nucleated red cells per cell of the five types.
        immature_fraction: immature granulocytes per cell of the five types.
        dead_fraction: dead and smudge cells as a share of all white cells.
        wbc_per_nl: white cell count, 1e9/L.
        rbc_per_pl: red cell count, 1e12/L.
        platelets_per_nl: platelet count, 1e9/L.
        rbc_per_mm2: red cells per area of the monolayer.
        mch_pg: mean hemoglobin mass of a red cell.
        rbc_diameter_um: mean diameter of a red cell.
        sickled_fraction: share of the red cells that are sickled.
        size_factor: white-cell diameter relative to the mean of all people.
        mass_factor: nucleic-acid and protein mass relative to the mean of all people.
        chromatin_factor: contrast of the chromatin clumps relative to the mean.
        granularity_factor: contrast of the granules relative to the mean.
        class_overlap: how far the kinds of white cells are drawn alike, 0 not at all, to 1.
    """

    name: str
    disease: str
    seed: int
    composition: Mapping[str, float] = field(hash=False)
    erythroblast_fraction: float
    immature_fraction: float
    dead_fraction: float
    wbc_per_nl: float
    rbc_per_pl: float
    platelets_per_nl: float
    rbc_per_mm2: float
    mch_pg: float
    rbc_diameter_um: float
    sickled_fraction: float
    size_factor: float
    mass_factor: float
    chromatin_factor: float
    granularity_factor: float
    class_overlap: float = 0.0

    @property
    def wbc_per_mm2(self) -> float:
        """White cells, live and dead, per area of the monolayer."""
        return self.rbc_per_mm2 * self.wbc_per_nl / (self.rbc_per_pl * 1000.0)

    @property
    def platelet_per_rbc(self) -> float:
        """Platelets per red cell."""
        return self.platelets_per_nl / (self.rbc_per_pl * 1000.0)

    @property
    def kind_shares(self) -> Mapping[str, float]:
        """Share of each of :data:`KINDS` among all white cells; sums to 1."""
        others = self.erythroblast_fraction + self.immature_fraction
        live = (1.0 - self.dead_fraction) / (1.0 + others)
        shares = {kind: live * self.composition[kind] for kind in LIVE_TYPES}
        shares["erythroblast"] = live * self.erythroblast_fraction
        shares["immature_granulocyte"] = live * self.immature_fraction
        shares["dead"] = self.dead_fraction
        return MappingProxyType(shares)


def make_donor(spec: str) -> Donor:
    """Make the donor that ``spec`` names, such as ``healthy:42`` or ``neutropenia-severe:7``.

    Raises:
        InputError: the name is unknown or the seed is not a whole number >= 0.
    """
    disease, _, seed_text = spec.partition(":")
    if disease not in _DISEASES or not re.fullmatch("[0-9]{1,32}", seed_text):
        names = ", ".join(sorted(_DISEASES))
        raise InputError("INPUT-DONOR", donor=spec[:60], names=names)
    return _DISEASES[disease](disease, int(seed_text), generator("donor", disease, int(seed_text)))


def with_class_overlap(donor: Donor, class_overlap: float) -> Donor:
    """Return the same person with types of white cells that are harder to tell apart.

    Raises:
        InputError: the overlap is out of 0 to 1.
    """
    if not 0.0 <= class_overlap <= 1.0:
        raise InputError("INPUT-OVERLAP", overlap=class_overlap)
    return replace(donor, class_overlap=class_overlap)


def paper_cohort(seed: int) -> list[Donor]:
    """Draw 23 donors: 4 healthy, 4 sickle, 4 thrombocytopenia, 11 neutropenia.

    The cohort of Kaza et al., BME Frontiers 2022, 9853606; grades of neutropenia are drawn.
    """
    rng = generator("cohort", seed)
    grades = [f"neutropenia-{grade}" for grade in NEUTROPENIA_GRADES]
    diseases = ["healthy"] * 4 + ["sickle"] * 4 + ["thrombocytopenia"] * 4
    diseases += [grades[int(index)] for index in rng.integers(0, len(grades), 11)]
    seeds = rng.choice(1_000_000, size=len(diseases), replace=False)
    return [
        make_donor(f"{disease}:{int(number)}")
        for disease, number in zip(diseases, seeds, strict=True)
    ]


def _healthy_counts(rng: np.random.Generator) -> dict[str, float]:
    """Draw absolute counts, cells per nl, whose shares lie within the reference ranges."""
    while True:
        shares = {
            "neutrophil": rng.normal(0.58, 0.075),
            "lymphocyte": rng.normal(0.31, 0.065),
            "monocyte": rng.normal(0.065, 0.012),
            "eosinophil": rng.gamma(3.0, 0.008),
            "basophil": rng.gamma(4.0, 0.0012),
        }
        total = sum(shares.values())
        shares = {kind: share / total for kind, share in shares.items()}
        if all(low <= shares[kind] <= high for kind, (low, high) in HEALTHY_SHARES.items()):
            wbc_per_nl = rng.uniform(5.5, 9.5)
            return {kind: share * wbc_per_nl for kind, share in shares.items()}


def _donor(
    disease: str,
    seed: int,
    rng: np.random.Generator,
    counts_per_nl: dict[str, float],
    *,
    rbc_per_pl: tuple[float, float] = (4.3, 5.5),
    platelets_per_nl: tuple[float, float] = (180.0, 380.0),
    sickled: tuple[float, float] = (0.0, 0.0),
    erythroblasts: tuple[float, float] = (0.0, 0.001),
    immature: tuple[float, float] = (0.0, 0.006),
) -> Donor:
    live = sum(counts_per_nl.values())
    erythroblast_fraction = float(rng.uniform(*erythroblasts))
    immature_fraction = float(rng.uniform(*immature))
    dead_fraction = float(np.clip(rng.gamma(4.0, 0.011), 0.01, 0.16))
    all_cells = live * (1.0 + erythroblast_fraction + immature_fraction) / (1.0 - dead_fraction)
    return Donor(
        name=f"{disease}:{seed}",
        disease=disease,
        seed=seed,
        composition=MappingProxyType({kind: counts_per_nl[kind] / live for kind in LIVE_TYPES}),
        erythroblast_fraction=erythroblast_fraction,
        immature_fraction=immature_fraction,
        dead_fraction=dead_fraction,
        wbc_per_nl=float(all_cells),
        rbc_per_pl=float(rng.uniform(*rbc_per_pl)),
        platelets_per_nl=float(rng.uniform(*platelets_per_nl)),
        rbc_per_mm2=float(rng.uniform(5800.0, 7400.0)),
        mch_pg=float(rng.uniform(27.5, 32.5)),
        rbc_diameter_um=float(rng.uniform(7.2, 7.9)),
        sickled_fraction=float(rng.uniform(*sickled)),
        size_factor=float(np.clip(rng.normal(1.0, 0.04), 0.92, 1.08)),
        mass_factor=float(np.clip(rng.normal(1.0, 0.05), 0.90, 1.10)),
        chromatin_factor=float(rng.uniform(0.75, 1.3)),
        granularity_factor=float(rng.uniform(0.75, 1.3)),
    )


def _healthy(disease: str, seed: int, rng: np.random.Generator) -> Donor:
    return _donor(disease, seed, rng, _healthy_counts(rng))


def _sickle(disease: str, seed: int, rng: np.random.Generator) -> Donor:
    counts = {kind: count * rng.uniform(1.1, 1.6) for kind, count in _healthy_counts(rng).items()}
    return _donor(
        disease,
        seed,
        rng,
        counts,
        rbc_per_pl=(3.0, 4.0),
        platelets_per_nl=(250.0, 500.0),
        sickled=(0.05, 0.30),
        erythroblasts=(0.002, 0.02),
        immature=(0.0, 0.01),
    )


def _thrombocytopenia(disease: str, seed: int, rng: np.random.Generator) -> Donor:
    return _donor(disease, seed, rng, _healthy_counts(rng), platelets_per_nl=(8.0, 90.0))


def _leukopenia(disease: str, seed: int, rng: np.random.Generator) -> Donor:
    factor = rng.uniform(0.2, 0.42)
    counts = {kind: count * factor for kind, count in _healthy_counts(rng).items()}
    return _donor(disease, seed, rng, counts)


def _eosinophilia(disease: str, seed: int, rng: np.random.Generator) -> Donor:
    counts = _healthy_counts(rng) | {"eosinophil": float(rng.uniform(0.7, 4.0))}
    return _donor(disease, seed, rng, counts)


def _neutropenia(disease: str, seed: int, rng: np.random.Generator) -> Donor:
    _, _, grade = disease.partition("-")
    neutrophils_per_nl = float(rng.uniform(*NEUTROPENIA_GRADES[grade]))
    counts = _healthy_counts(rng) | {"neutrophil": neutrophils_per_nl}
    return _donor(disease, seed, rng, counts, immature=(0.0, 0.01))


_Maker = Callable[[str, int, np.random.Generator], Donor]

_DISEASES: dict[str, _Maker] = {
    "healthy": _healthy,
    "sickle": _sickle,
    "thrombocytopenia": _thrombocytopenia,
    "eosinophilia": _eosinophilia,
    "leukopenia": _leukopenia,
    **{f"neutropenia-{grade}": _neutropenia for grade in NEUTROPENIA_GRADES},
}
