"""The result: shares of the five types with exact intervals, and flags for its reader."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from scipy.special import betaincinv

from device.results.cell import FIVE_TYPES, TRAITS, CellKind

FULL_COUNT = 200
REDUCED_COUNT = 100
MINIMUM_COUNT = 50

MANY_UNIDENTIFIED_PERCENT = 10.0
MANY_DEAD_PER_100 = 20.0
MANY_LOST_TILES_PERCENT = 5.0

ADULT_RANGES_VERSION = "adult default 1"
ADULT_RANGES_PERCENT: Mapping[CellKind, tuple[float, float]] = {
    kind: traits.adult_range_percent
    for kind, traits in TRAITS.items()
    if traits.adult_range_percent is not None
}


class FlagLevel(StrEnum):
    """How far a flag reaches: no numbers; numbers with a reason to look; a remark."""

    INVALID = "invalid"
    REVIEW = "review"
    NOTE = "note"


@dataclass(frozen=True)
class Flag:
    """A remark on a result: stable code, level, what holds, and what to do about it."""

    code: str
    level: FlagLevel
    text: str
    remedy: str


@dataclass(frozen=True)
class Share:
    """One type's share of the classified live white cells.

    Attributes:
        n: cells counted.
        percent: share, None where the count policy allows no percentages.
        low: lower end of the exact 95 % interval, percent; counting error only.
        high: upper end, percent.
    """

    n: int
    percent: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class ScanContext:
    """How the cells were collected, as far as the flags need it.

    Attributes:
        tiles_attempted: tiles the scan came to, whether or not they could be used.
        tiles_missing: of these, tiles without a frame or without an analysis.
        tiles_unusable: of these, tiles refused by quality: reason to number of tiles.
        aborted: the scan was stopped by a person or by a failure.
    """

    tiles_attempted: int = 0
    tiles_missing: int = 0
    tiles_unusable: Mapping[str, int] = field(default_factory=dict)
    aborted: bool = False


@dataclass(frozen=True)
class Differential:
    """The five-part differential of one sample.

    Attributes:
        shares: one per type of :data:`~device.results.cell.FIVE_TYPES`.
        classified: live, identified cells of the five types: the denominator of the shares.
        dead: dead or smudged cells.
        other: further nucleated cells, not of the five types.
        unidentified: cells below the confidence threshold, in no class and no denominator.
        flags: most serious first.
    """

    shares: Mapping[CellKind, Share]
    classified: int
    dead: int
    other: int
    unidentified: int
    flags: tuple[Flag, ...]

    @property
    def dead_per_100(self) -> float | None:
        """Dead cells per 100 classified white cells, None without percentages."""
        return self._per_100(self.dead)

    @property
    def other_per_100(self) -> float | None:
        """Other nucleated cells per 100 classified white cells, None without percentages."""
        return self._per_100(self.other)

    @property
    def valid(self) -> bool:
        """Whether no flag takes the numbers away."""
        return all(flag.level is not FlagLevel.INVALID for flag in self.flags)

    def _per_100(self, count: int) -> float | None:
        return 100.0 * count / self.classified if self.classified >= MINIMUM_COUNT else None

    def as_dict(self) -> dict[str, Any]:
        """Return the JSON form; ``differential`` maps each type to n, percent, low and high."""
        return {
            "differential": {
                kind.value: {"n": s.n, "percent": s.percent, "low": s.low, "high": s.high}
                for kind, s in self.shares.items()
            },
            "classified": self.classified,
            "dead": self.dead,
            "dead_per_100": self.dead_per_100,
            "other": self.other,
            "other_per_100": self.other_per_100,
            "unidentified": self.unidentified,
            "flags": [
                {"code": f.code, "level": f.level.value, "text": f.text, "remedy": f.remedy}
                for f in self.flags
            ],
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Differential:
        """Read what :meth:`as_dict` wrote.  Raises KeyError or ValueError on anything else."""
        return cls(
            shares={
                CellKind(kind): Share(s["n"], s["percent"], s["low"], s["high"])
                for kind, s in document["differential"].items()
            },
            classified=document["classified"],
            dead=document["dead"],
            other=document["other"],
            unidentified=document["unidentified"],
            flags=tuple(
                Flag(f["code"], FlagLevel(f["level"]), f["text"], f["remedy"])
                for f in document["flags"]
            ),
        )


def clopper_pearson(k: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Return the exact interval of a binomial share (Clopper and Pearson 1934), both in 0..1.

    Raises ValueError unless 0 <= k <= n and n > 0.
    """
    if not 0 <= k <= n or n == 0:
        raise ValueError(f"no share of {k} in {n}")
    tail = (1.0 - level) / 2.0
    low = float(betaincinv(k, n - k + 1, tail)) if k > 0 else 0.0
    high = float(betaincinv(k + 1, n - k, 1.0 - tail)) if k < n else 1.0
    return low, high


class Named(Protocol):
    """Anything that was given a kind."""

    @property
    def kind(self) -> CellKind:
        """The most probable kind."""

    @property
    def identified(self) -> bool:
        """Whether the confidence sufficed."""


def tally(cells: Iterable[Named]) -> tuple[dict[CellKind, int], int]:
    """Return the identified cells per kind, every kind named, and the number of unidentified."""
    counts = dict.fromkeys(CellKind, 0)
    unidentified = 0
    for cell in cells:
        if cell.identified:
            counts[cell.kind] += 1
        else:
            unidentified += 1
    return counts, unidentified


def differential(
    counts: Mapping[CellKind, int],
    unidentified: int = 0,
    context: ScanContext | None = None,
) -> Differential:
    """Turn counted cells into a differential by the count policy.

    From 200 classified cells on the result is full; from 100 it is marked as reduced; from 50 it
    has percentages and intervals but no comparison with reference ranges; under 50 it has counts
    only and an INVALID flag.

    Args:
        counts: identified cells per kind; a missing kind counts as 0.
        unidentified: cells below the confidence threshold.
        context: how the cells were collected; None for images without a scan.
    """
    context = context if context is not None else ScanContext()
    classified = sum(counts.get(kind, 0) for kind in FIVE_TYPES)
    shares = {kind: _share(counts.get(kind, 0), classified) for kind in FIVE_TYPES}
    dead, other = counts.get(CellKind.DEAD, 0), counts.get(CellKind.OTHER, 0)
    # In this order, the most serious come first.
    flags = [
        *_count_flags(classified),
        *_cell_flags(classified, dead, unidentified),
        *_scan_flags(context),
        *_range_flags(shares, classified),
        *_STANDING_NOTES,
    ]
    return Differential(shares, classified, dead, other, unidentified, tuple(flags))


def _share(n: int, classified: int) -> Share:
    if classified < MINIMUM_COUNT:
        return Share(n, None, None, None)
    low, high = clopper_pearson(n, classified)
    return Share(n, 100.0 * n / classified, 100.0 * low, 100.0 * high)


def _count_flags(classified: int) -> list[Flag]:
    if classified >= FULL_COUNT:
        return []
    if classified < MINIMUM_COUNT:
        return [
            Flag(
                "COUNT-TOO-FEW",
                FlagLevel.INVALID,
                f"Only {classified} white cells were classified; "
                f"under {MINIMUM_COUNT} no percentages are given.",
                "Scan a larger area or prepare a new smear.",
            )
        ]
    if classified < REDUCED_COUNT:
        return [
            Flag(
                "COUNT-LOW",
                FlagLevel.REVIEW,
                f"{classified} white cells were classified: the intervals are wide and no share "
                "is compared with a reference range.",
                "Scan a larger area or prepare a new smear.",
            )
        ]
    return [
        Flag(
            "COUNT-REDUCED",
            FlagLevel.REVIEW,
            f"Reduced count: {classified} white cells were classified instead of {FULL_COUNT}.",
            "Read the intervals; scan a larger area for a full count.",
        )
    ]


def _cell_flags(classified: int, dead: int, unidentified: int) -> list[Flag]:
    flags = []
    named = classified + unidentified
    if named and 100.0 * unidentified / named > MANY_UNIDENTIFIED_PERCENT:
        flags.append(
            Flag(
                "CELLS-UNIDENTIFIED",
                FlagLevel.REVIEW,
                f"{unidentified} of {named} white cells could not be identified with confidence "
                f"(more than {MANY_UNIDENTIFIED_PERCENT:g} %).",
                "Look at the unidentified cells; the shares leave them out.",
            )
        )
    if classified and 100.0 * dead / classified > MANY_DEAD_PER_100:
        flags.append(
            Flag(
                "CELLS-DEAD",
                FlagLevel.REVIEW,
                f"{dead} dead or smudged cells for {classified} classified ones "
                f"(more than {MANY_DEAD_PER_100:g} per 100).",
                "Use fresh blood and spread the smear more gently.",
            )
        )
    return flags


_UNUSABLE_FLAGS = {
    "out of focus": ("TILES-OUT-OF-FOCUS", "out of focus", "Clean the slide and seat it flat."),
    "too thick": ("TILES-TOO-THICK", "too thick to count", "Spread the smear more thinly."),
    "saturated": ("TILES-SATURATED", "overexposed", "Lower the exposure time."),
    "empty": ("TILES-EMPTY", "without any cells", "Check that the smear lies in the scan area."),
}
_MANY_EMPTY_TILES_PERCENT = 50.0


def _scan_flags(context: ScanContext) -> list[Flag]:
    flags = []
    if context.aborted:
        flags.append(
            Flag(
                "SCAN-ABORTED",
                FlagLevel.REVIEW,
                "The scan was stopped before its end.",
                "Start a new scan for a complete result.",
            )
        )
    if context.tiles_missing:
        flags.append(
            Flag(
                "TILES-MISSING",
                FlagLevel.REVIEW,
                f"{context.tiles_missing} of {context.tiles_attempted} tiles are missing.",
                "Look at the run's events for the cause.",
            )
        )
    for reason, tiles in sorted(context.tiles_unusable.items()):
        code, words, remedy = _UNUSABLE_FLAGS[reason]
        limit = _MANY_EMPTY_TILES_PERCENT if reason == "empty" else MANY_LOST_TILES_PERCENT
        if 100.0 * tiles > limit * context.tiles_attempted:
            text = f"{tiles} of {context.tiles_attempted} tiles were {words}."
            flags.append(Flag(code, FlagLevel.REVIEW, text, remedy))
    return flags


def _range_flags(shares: Mapping[CellKind, Share], classified: int) -> list[Flag]:
    if classified < REDUCED_COUNT:
        return []
    flags = []
    for kind, (lower, upper) in ADULT_RANGES_PERCENT.items():
        share = shares[kind]
        if share.percent is None or share.low is None or share.high is None:
            continue
        if share.high < lower:
            word, side = "LOW", "below"
        elif share.low > upper:
            word, side = "HIGH", "above"
        else:
            continue
        flags.append(
            Flag(
                f"RANGE-{word}-{kind.value.upper()}",
                FlagLevel.NOTE,
                f"{kind.value.capitalize()}s {share.percent:.1f} % ({share.low:.1f}-"
                f"{share.high:.1f} %): the whole interval lies {side} the reference range "
                f"{lower:g}-{upper:g} % ({ADULT_RANGES_VERSION}).",
                "Compare with the site's own reference range.",
            )
        )
    return flags


_STANDING_NOTES = (
    Flag(
        "LIMIT-IMMATURE",
        FlagLevel.NOTE,
        "Band forms, immature cells and blasts cannot be excluded.",
        "Review a stained smear where they matter.",
    ),
    Flag(
        "LIMIT-RESEARCH",
        FlagLevel.NOTE,
        "For research use only. The intervals show the counting error only.",
        "Do not use for diagnosis or treatment.",
    ),
)
