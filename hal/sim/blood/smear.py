"""A blood smear on a slide: what lies where, in the stage frame, um.

The plane is divided into square chunks.  What a chunk holds depends on the donor's seed and the
chunk's indices alone (neighbours interact through their seeds, never through their history), so
the same smear appears whatever the order of access.

Along x: thick zone 20-30 mm, monolayer 30-44 mm, feathered edge 44-48 mm; the blood covers y
38.5-49.5 mm, and the monolayer is usable over y 40-48 mm.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from hal.errors import InputError
from hal.sim.blood.artefacts import Artefact, artefact_counts
from hal.sim.blood.cells import draw_diameter_um
from hal.sim.blood.donors import KINDS, Donor
from hal.sim.blood.red_cells import PLATELETS, ROUND_CELLS, SICKLED_CELLS
from hal.sim.blood.seeds import generator

CHUNK_UM = 128.0
SMEAR_X_UM = (20_000.0, 48_000.0)
SMEAR_Y_UM = (38_500.0, 49_500.0)
MONOLAYER_X_UM = (30_000.0, 44_000.0)
MONOLAYER_Y_UM = (40_000.0, 48_000.0)
BLANK_XY_UM = (60_000.0, 44_000.0)
FOCUS_UM = 5_000.0
MOST_ENRICHMENT = 1000.0

_WHITE_CELL_SPACING_UM = 13.5
_THICK_DENSITY = 4.0
_THIN_DENSITY = 0.25
_ROULEAUX_SHARE = 0.015
_ROULEAUX_LENGTH = (2, 5)
_CLUMP_SHARE = 0.03
_FILM_DENSITY = 0.004
_FILM_RIPPLE = 1.6


@dataclass(frozen=True)
class WhiteCell:
    """Where a white cell lies and what it is; its look comes from ``key``."""

    id: str
    kind: str
    x_um: float
    y_um: float
    diameter_um: float
    key: tuple[int | str, ...]
    rank: float


@dataclass(frozen=True)
class Chunk:
    """What one chunk of the smear holds.

    ``red_cells`` and ``platelets`` are float64 (N, 4): x_um, y_um, index into the donor's bank,
    and which of the eight turned and mirrored copies (0-7).
    """

    white_cells: tuple[WhiteCell, ...]
    red_cells: NDArray[np.float64]
    platelets: NDArray[np.float64]
    artefacts: tuple[Artefact, ...]


class Smear:
    """One donor's smear.

    Args:
        donor: whose blood it is.
        white_cell_enrichment: factor on the density of white cells, to make training data.
        composition: shares of all white cells by kind, of any of :data:`KINDS`;
            they are scaled to sum to 1, and a kind that is not named does not occur.  Without
            it the donor's own shares hold.

    Raises:
        InputError: an unknown kind, a negative share, no positive share, or an enrichment out of
            0 to :data:`MOST_ENRICHMENT`.
    """

    def __init__(
        self,
        donor: Donor,
        *,
        white_cell_enrichment: float = 1.0,
        composition: Mapping[str, float] | None = None,
    ) -> None:
        shares = donor.kind_shares if composition is None else composition
        unknown = sorted(set(shares) - set(KINDS))
        if unknown or min(shares.values(), default=0.0) < 0 or not sum(shares.values()) > 0:
            raise InputError("INPUT-COMPOSITION", composition=dict(shares), kinds=", ".join(KINDS))
        if not 0.0 <= white_cell_enrichment <= MOST_ENRICHMENT:
            raise InputError("INPUT-ENRICHMENT", factor=white_cell_enrichment, most=MOST_ENRICHMENT)
        self.donor = donor
        self.white_cell_enrichment = white_cell_enrichment
        self._cumulated_shares = np.cumsum([shares.get(kind, 0.0) for kind in KINDS])
        self._cumulated_shares /= self._cumulated_shares[-1]
        self._candidates = lru_cache(maxsize=4096)(self._draw_white_candidates)
        self._white = lru_cache(maxsize=4096)(self._thin_white_cells)
        self.chunk = lru_cache(maxsize=256)(self._draw_chunk)
        rng = generator("slide", donor.name)
        self._tilt = np.tan(np.radians(rng.uniform(0.05, 0.1, 2) * rng.choice([-1.0, 1.0], 2)))
        self._sag_um = float(rng.uniform(30.0, 80.0) * rng.choice([-1.0, 1.0]))
        self._ripple_rad = rng.uniform(0.0, 2.0 * math.pi, 2)
        self._flow = rng.normal(size=(6, 2)) / np.array([70, 110, 170, 260, 400, 650])[:, None]
        self._flow_rad = rng.uniform(0.0, 2.0 * math.pi, (6, 2))

    def focus_z_um(self, x_um: float, y_um: float) -> float:
        """Return the stage z at which the smear at (x_um, y_um) is in focus."""
        dx, dy = x_um - 37_000.0, y_um - 44_000.0
        bow = math.sin(math.pi * dx / 60_000.0) ** 2 + 0.5 * math.sin(math.pi * dy / 60_000.0) ** 2
        ripple = 0.12 * math.sin(dx / 500.0 + self._ripple_rad[0])
        ripple += 0.12 * math.sin(dy / 400.0 + self._ripple_rad[1])
        tilt = float(self._tilt[0] * dx + 0.5 * self._tilt[1] * dy)
        return FOCUS_UM + tilt + self._sag_um * bow + ripple

    def density_factor(self, x_um: float, y_um: float) -> float:
        """Return the density of cells relative to the monolayer; 0 on blank glass."""
        if not (SMEAR_Y_UM[0] <= y_um < SMEAR_Y_UM[1] and SMEAR_X_UM[0] <= x_um < SMEAR_X_UM[1]):
            return 0.0
        return float(
            np.interp(
                x_um,
                [SMEAR_X_UM[0], MONOLAYER_X_UM[0], MONOLAYER_X_UM[1], SMEAR_X_UM[1]],
                [_THICK_DENSITY, 1.0, 1.0, _THIN_DENSITY],
            )
        )

    def film_density(
        self, x_um: NDArray[np.floating], y_um: NDArray[np.floating]
    ) -> NDArray[np.float32]:
        """Return the optical density of the dried plasma, (len(y_um), len(x_um)).

        It is a sum of plane waves, each a product of functions of x and y, so that a whole field
        costs one small matrix product.
        """
        along_x = 2.0 * math.pi * np.outer(self._flow[:, 0], x_um) + self._flow_rad[:, :1]
        along_y = 2.0 * math.pi * np.outer(self._flow[:, 1], y_um) + self._flow_rad[:, 1:]
        share = _FILM_RIPPLE / len(self._flow)
        rows = np.concatenate(
            [share * np.sin(along_y), share * np.cos(along_y), np.ones_like(along_y[:1])]
        )
        columns = np.concatenate([np.cos(along_x), np.sin(along_x), np.ones_like(along_x[:1])])
        rows *= _FILM_DENSITY * ((y_um >= SMEAR_Y_UM[0]) & (y_um < SMEAR_Y_UM[1]))
        columns *= (x_um >= SMEAR_X_UM[0]) & (x_um < SMEAR_X_UM[1])
        return rows.T.astype(np.float32) @ columns.astype(np.float32)

    def chunks_near(
        self, x_um: float, y_um: float, half_width_um: float, half_height_um: float
    ) -> list[Chunk]:
        """Return the chunks that overlap a rectangle around (x_um, y_um), in a fixed order."""
        places = _chunk_places(x_um, y_um, half_width_um, half_height_um)
        return [self.chunk(column, row) for column, row in places]

    def white_cells_near(
        self, x_um: float, y_um: float, half_width_um: float, half_height_um: float
    ) -> list[WhiteCell]:
        """Return the white cells whose centre lies in a rectangle around (x_um, y_um)."""
        return [
            cell
            for column, row in _chunk_places(x_um, y_um, half_width_um, half_height_um)
            for cell in self._white(column, row)
            if abs(cell.x_um - x_um) <= half_width_um and abs(cell.y_um - y_um) <= half_height_um
        ]

    def _factor_at_chunk(self, column: int, row: int) -> float:
        return self.density_factor((column + 0.5) * CHUNK_UM, (row + 0.5) * CHUNK_UM)

    def _draw_white_candidates(self, column: int, row: int) -> tuple[WhiteCell, ...]:
        rng = generator("white", self.donor.name, column, row)
        per_mm2 = self.donor.wbc_per_mm2 * self.white_cell_enrichment
        expected = per_mm2 * (CHUNK_UM * 1e-3) ** 2 * self._factor_at_chunk(column, row)
        cells = []
        for index in range(int(rng.poisson(expected))):
            kind = KINDS[int(np.searchsorted(self._cumulated_shares, rng.random(), "right"))]
            cells.append(
                WhiteCell(
                    id=f"{column}.{row}.{index}",
                    kind=kind,
                    x_um=float((column + rng.random()) * CHUNK_UM),
                    y_um=float((row + rng.random()) * CHUNK_UM),
                    diameter_um=draw_diameter_um(kind, self.donor, rng),
                    key=("white cell", self.donor.name, column, row, index),
                    rank=float(rng.random()),
                )
            )
        return tuple(cells)

    def _thin_white_cells(self, column: int, row: int) -> tuple[WhiteCell, ...]:
        """Keep a candidate unless a better-ranked one lies too close (Matern's second process)."""
        around = [
            cell for place in _neighbourhood(column, row) for cell in self._candidates(*place)
        ]
        return tuple(
            cell
            for cell in self._candidates(column, row)
            if not any(
                other.rank < cell.rank
                and math.hypot(other.x_um - cell.x_um, other.y_um - cell.y_um)
                < _WHITE_CELL_SPACING_UM
                for other in around
            )
        )

    def _draw_chunk(self, column: int, row: int) -> Chunk:
        factor = self._factor_at_chunk(column, row)
        rng = generator("chunk", self.donor.name, column, row)
        artefacts = self._draw_artefacts(rng, column, row)
        if factor == 0.0:
            nothing = np.zeros((0, 4))
            return Chunk((), nothing, nothing, artefacts)
        around = [cell for place in _neighbourhood(column, row) for cell in self._white(*place)]
        red_cells = self._pushed_aside(self._draw_red_cells(rng, column, row, factor), around)
        platelets = _outside(self._draw_platelets(rng, column, row, factor), around)
        return Chunk(self._white(column, row), red_cells, platelets, artefacts)

    def _draw_artefacts(
        self, rng: np.random.Generator, column: int, row: int
    ) -> tuple[Artefact, ...]:
        return tuple(
            Artefact(
                kind,
                float((column + rng.random()) * CHUNK_UM),
                float((row + rng.random()) * CHUNK_UM),
                ("artefact", self.donor.name, column, row, kind, index),
            )
            for kind, count in artefact_counts(rng, (CHUNK_UM * 1e-3) ** 2).items()
            for index in range(count)
        )

    def _draw_red_cells(
        self, rng: np.random.Generator, column: int, row: int, factor: float
    ) -> NDArray[np.float64]:
        """Put red cells on a jittered lattice that a smooth flow makes uneven."""
        chained = 1.0 + _ROULEAUX_SHARE * sum(_ROULEAUX_LENGTH) / 2.0
        per_um2 = self.donor.rbc_per_mm2 * 1e-6 * factor / chained
        sites = math.ceil(CHUNK_UM * math.sqrt(per_um2))
        pitch_um = CHUNK_UM / sites
        occupied = rng.random((sites, sites)) < per_um2 * pitch_um**2
        site_y, site_x = np.nonzero(occupied)
        jitter = rng.uniform(-0.47, 0.47, (2, site_x.size))
        x = column * CHUNK_UM + (site_x + 0.5 + jitter[0]) * pitch_um
        y = row * CHUNK_UM + (site_y + 0.5 + jitter[1]) * pitch_um
        flow = self._flow_um(x, y)
        x, y = x + flow[0], y + flow[1]
        chain_x, chain_y = _rouleaux(rng, x, y)
        x, y = np.concatenate([x, chain_x]), np.concatenate([y, chain_y])
        bank = rng.integers(0, ROUND_CELLS, x.size)
        sickled = rng.random(x.size) < self.donor.sickled_fraction
        bank[sickled] = ROUND_CELLS + rng.integers(0, SICKLED_CELLS, int(sickled.sum()))
        return np.stack([x, y, bank, rng.integers(0, 8, x.size)], axis=1)

    def _flow_um(self, x_um: NDArray[np.float64], y_um: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the smooth displacement that gathers red cells here and thins them out there."""
        total = np.zeros((2, x_um.size))
        for wave, phase_rad in zip(self._flow, self._flow_rad, strict=True):
            angle = 2.0 * math.pi * (wave[0] * x_um + wave[1] * y_um)
            strength = 0.045 / float(np.hypot(*wave))
            total[0] += strength * np.sin(angle + phase_rad[0])
            total[1] += strength * np.sin(angle + phase_rad[1])
        return np.clip(total, -20.0, 20.0)

    def _pushed_aside(
        self, red_cells: NDArray[np.float64], white_cells: list[WhiteCell]
    ) -> NDArray[np.float64]:
        """Push red cells out of white cells until they at most touch them."""
        reach_um = 0.44 * self.donor.rbc_diameter_um
        for cell in white_cells:
            offset = red_cells[:, :2] - (cell.x_um, cell.y_um)
            distance = np.hypot(offset[:, 0], offset[:, 1])
            needed_um = cell.diameter_um / 2.0 + reach_um
            # One that lies all but under the white cell has no side to be pushed to.
            keep = distance > 0.45 * needed_um
            red_cells, offset, distance = red_cells[keep], offset[keep], distance[keep]
            close = distance < needed_um
            scale = needed_um / distance[close]
            red_cells[close, :2] = (cell.x_um, cell.y_um) + offset[close] * scale[:, None]
        return red_cells

    def _draw_platelets(
        self, rng: np.random.Generator, column: int, row: int, factor: float
    ) -> NDArray[np.float64]:
        per_mm2 = self.donor.rbc_per_mm2 * self.donor.platelet_per_rbc * factor
        singles = per_mm2 * (CHUNK_UM * 1e-3) ** 2 / (1.0 + 4.0 * _CLUMP_SHARE)
        place = rng.random((int(rng.poisson(singles)), 2)) * CHUNK_UM
        clumped = place[rng.random(len(place)) < _CLUMP_SHARE]
        extra = [spot + rng.normal(0.0, 2.2, (int(rng.integers(2, 7)), 2)) for spot in clumped]
        place = np.concatenate([place, *extra]) + np.array([column, row]) * CHUNK_UM
        choice = [rng.integers(0, PLATELETS, len(place)), rng.integers(0, 8, len(place))]
        return np.column_stack([place, *choice])


def _neighbourhood(column: int, row: int) -> list[tuple[int, int]]:
    """Return a chunk and its eight neighbours."""
    return [(column + dx, row + dy) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]


def _chunk_places(
    x_um: float, y_um: float, half_width_um: float, half_height_um: float
) -> list[tuple[int, int]]:
    """Return column and row of the chunks that overlap a rectangle, row by row."""
    left, right = (math.floor((x_um + side * half_width_um) / CHUNK_UM) for side in (-1, 1))
    top, bottom = (math.floor((y_um + side * half_height_um) / CHUNK_UM) for side in (-1, 1))
    return [(column, row) for row in range(top, bottom + 1) for column in range(left, right + 1)]


def _rouleaux(
    rng: np.random.Generator, x_um: NDArray[np.float64], y_um: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the further cells of stacks that start at some of the cells."""
    heads = np.nonzero(rng.random(x_um.size) < _ROULEAUX_SHARE)[0]
    lengths = rng.integers(_ROULEAUX_LENGTH[0], _ROULEAUX_LENGTH[1] + 1, heads.size)
    heading = np.repeat(rng.uniform(0.0, 2.0 * math.pi, heads.size), lengths)
    heading = heading + rng.normal(0.0, 0.15, heading.size)
    order = np.concatenate([np.arange(1, length + 1) for length in lengths] or [np.zeros(0)])
    distance = order * np.repeat(rng.uniform(2.2, 4.5, heads.size), lengths)
    start = np.repeat(heads, lengths)
    return x_um[start] + distance * np.cos(heading), y_um[start] + distance * np.sin(heading)


def _outside(points: NDArray[np.float64], white_cells: list[WhiteCell]) -> NDArray[np.float64]:
    for cell in white_cells:
        distance = np.hypot(points[:, 0] - cell.x_um, points[:, 1] - cell.y_um)
        points = points[distance > cell.diameter_um / 2.0]
    return points
