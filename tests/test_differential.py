import json
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import bdtr, bdtrc

from device.results.cell import FIVE_TYPES, CellKind
from device.results.differential import (
    Differential,
    FlagLevel,
    ScanContext,
    clopper_pearson,
    differential,
    tally,
)

HEALTHY = {
    CellKind.NEUTROPHIL: 122,
    CellKind.LYMPHOCYTE: 58,
    CellKind.MONOCYTE: 12,
    CellKind.EOSINOPHIL: 7,
    CellKind.BASOPHIL: 1,
}
counts_of_kinds = st.fixed_dictionaries({kind: st.integers(0, 300) for kind in CellKind})
shares_of_n = st.integers(1, 600).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


def codes(result: Differential) -> set[str]:
    return {flag.code for flag in result.flags}


@dataclass
class NamedCell:
    kind: CellKind
    identified: bool


def test_the_tally_names_every_kind_and_leaves_the_unidentified_out():
    cells = [
        NamedCell(CellKind.MONOCYTE, True),
        NamedCell(CellKind.MONOCYTE, True),
        NamedCell(CellKind.DEAD, True),
        NamedCell(CellKind.MONOCYTE, False),
    ]
    none = dict.fromkeys(CellKind, 0)
    assert tally(cells) == (none | {CellKind.MONOCYTE: 2, CellKind.DEAD: 1}, 1)
    assert tally([]) == (none, 0)


@pytest.mark.parametrize("classified", [10, 60, 120, 250])
def test_the_most_serious_flags_come_first(classified):
    counts = {CellKind.BASOPHIL: classified, CellKind.DEAD: classified}
    scan = ScanContext(tiles_attempted=9, tiles_missing=1, aborted=True)
    levels = [flag.level for flag in differential(counts, classified, scan).flags]
    assert levels == sorted(levels, key=list(FlagLevel).index)


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [(122, 200, 53.9, 67.8), (5, 100, 1.6, 11.3), (10, 200, 2.4, 9.0), (20, 400, 3.1, 7.6)],
)
def test_published_intervals(k, n, low, high):
    found = clopper_pearson(k, n)
    assert [round(100 * end, 1) for end in found] == [low, high]


def test_a_kind_in_its_range_does_not_hide_a_later_one_that_is_not():
    counts = {CellKind.NEUTROPHIL: 150, CellKind.LYMPHOCYTE: 70, CellKind.MONOCYTE: 60}
    assert {"RANGE-HIGH-MONOCYTE"} == {c for c in codes(differential(counts)) if "RANGE" in c} - {
        "RANGE-LOW-EOSINOPHIL"
    }


def test_shares_are_percent_and_what_was_not_counted_is_none():
    found = differential({CellKind.NEUTROPHIL: 63, CellKind.LYMPHOCYTE: 4})
    share = found.shares[CellKind.NEUTROPHIL]
    low, high = clopper_pearson(63, 67)
    assert (share.percent, share.low, share.high) == pytest.approx(
        (100 * 63 / 67, 100 * low, 100 * high)
    )
    assert found.shares[CellKind.BASOPHIL].n == 0
    assert (found.dead, found.other, found.unidentified) == (0, 0, 0)


def unusable(tiles: int, reason: str) -> ScanContext:
    return ScanContext(tiles_attempted=10_000, tiles_unusable={reason: tiles})


@pytest.mark.parametrize(
    ("code", "limit", "result"),
    [
        ("CELLS-UNIDENTIFIED", 100, lambda n: differential({CellKind.NEUTROPHIL: 1000 - n}, n)),
        (
            "CELLS-DEAD",
            200,
            lambda n: differential({CellKind.NEUTROPHIL: 1000, CellKind.DEAD: n}),
        ),
        ("TILES-TOO-THICK", 500, lambda n: differential({}, 0, unusable(n, "too thick"))),
        ("TILES-EMPTY", 5000, lambda n: differential({}, 0, unusable(n, "empty"))),
    ],
)
def test_a_flag_is_raised_above_its_limit_and_not_at_it(code, limit, result):
    assert code not in codes(result(limit))
    assert code in codes(result(limit + 1))


def test_known_accuracy_interval_of_63_in_67():
    low, high = clopper_pearson(63, 67)
    assert (round(100 * low, 1), round(100 * high, 1)) == (85.4, 98.3)


@given(shares_of_n)
def test_interval_contains_the_share_and_is_symmetric(share):
    k, n = share
    low, high = clopper_pearson(k, n)
    assert 0.0 <= low <= k / n <= high <= 1.0
    assert (low, high) == pytest.approx([1 - end for end in reversed(clopper_pearson(n - k, n))])


@given(shares_of_n)
def test_interval_ends_leave_tails_of_2_5_percent(share):
    k, n = share
    low, high = clopper_pearson(k, n)
    if k > 0:
        assert bdtrc(k - 1, n, low) == pytest.approx(0.025, rel=1e-6)
    if k < n:
        assert bdtr(k, n, high) == pytest.approx(0.025, rel=1e-6)


@given(shares_of_n)
def test_one_more_cell_moves_both_ends_up(share):
    k, n = share
    if k < n:
        (low, high), (next_low, next_high) = clopper_pearson(k, n), clopper_pearson(k + 1, n)
        assert low < next_low
        assert high < next_high


@pytest.mark.parametrize(("k", "n"), [(-1, 5), (6, 5), (0, 0)])
def test_impossible_share_is_an_error(k, n):
    with pytest.raises(ValueError, match="no share"):
        clopper_pearson(k, n)


def test_full_count_of_a_healthy_donor_has_only_the_standing_notes():
    result = differential(HEALTHY)
    assert result.classified == 200
    assert result.shares[CellKind.NEUTROPHIL].percent == pytest.approx(61.0)
    assert codes(result) == {"LIMIT-IMMATURE", "LIMIT-RESEARCH"}
    assert result.valid


@pytest.mark.parametrize(
    ("neutrophils", "code", "level"),
    [
        (0, "COUNT-TOO-FEW", FlagLevel.INVALID),
        (49, "COUNT-TOO-FEW", FlagLevel.INVALID),
        (50, "COUNT-LOW", FlagLevel.REVIEW),
        (99, "COUNT-LOW", FlagLevel.REVIEW),
        (100, "COUNT-REDUCED", FlagLevel.REVIEW),
        (199, "COUNT-REDUCED", FlagLevel.REVIEW),
        (200, None, None),
    ],
)
def test_count_policy(neutrophils, code, level):
    result = differential({CellKind.NEUTROPHIL: neutrophils})
    found = {flag.code: flag.level for flag in result.flags if flag.code.startswith("COUNT")}
    assert found == ({code: level} if code else {})
    assert (result.shares[CellKind.NEUTROPHIL].percent is None) == (neutrophils < 50)
    assert result.valid == (neutrophils >= 50)


def test_comparison_with_the_reference_range_starts_at_100_cells():
    assert "RANGE-HIGH-NEUTROPHIL" in codes(differential({CellKind.NEUTROPHIL: 100}))
    assert not any(c.startswith("RANGE") for c in codes(differential({CellKind.NEUTROPHIL: 99})))


@pytest.mark.parametrize(
    ("kind", "lower", "upper"),
    [
        (CellKind.NEUTROPHIL, 40.0, 75.0),
        (CellKind.LYMPHOCYTE, 20.0, 45.0),
        (CellKind.MONOCYTE, 2.0, 10.0),
        (CellKind.EOSINOPHIL, 1.0, 6.0),
        (CellKind.BASOPHIL, 0.0, 1.0),
    ],
)
def test_reference_range_of_an_adult(kind, lower, upper):
    """With 100,000 cells the interval is narrower than the distance to the limit."""
    rest = CellKind.LYMPHOCYTE if kind is CellKind.NEUTROPHIL else CellKind.NEUTROPHIL
    found = {}
    for percent in (lower - 0.6, lower + 0.6, upper - 0.6, upper + 0.6):
        n = max(0, round(1000 * percent))
        flags = codes(differential({kind: n, rest: 100_000 - n}))
        found[percent] = [
            word for word in ("LOW", "HIGH") if f"RANGE-{word}-{kind.upper()}" in flags
        ]
    below = ["LOW"] if lower > 0.0 else []
    assert list(found.values()) == [below, [], [], ["HIGH"]]


def test_share_outside_the_range_with_an_interval_across_it_is_not_flagged():
    counts = {CellKind.NEUTROPHIL: 156, CellKind.LYMPHOCYTE: 40, CellKind.MONOCYTE: 4}
    result = differential(counts)
    assert result.shares[CellKind.NEUTROPHIL].percent > 75
    assert "RANGE-HIGH-NEUTROPHIL" not in codes(result)


@given(counts_of_kinds, st.integers(0, 300))
def test_dead_other_and_unidentified_never_change_the_shares(counts, unidentified):
    live = {kind: counts[kind] for kind in FIVE_TYPES}
    assert differential(counts, unidentified).shares == differential(live).shares


@given(counts_of_kinds, st.integers(0, 300))
def test_shares_sum_to_the_whole_and_survive_json(counts, unidentified):
    result = differential(counts, unidentified, ScanContext(100, 1, {"too thick": 50}, True))
    assert sum(share.n for share in result.shares.values()) == result.classified
    if result.valid:
        assert sum(share.percent for share in result.shares.values()) == pytest.approx(100)
    assert Differential.from_dict(json.loads(json.dumps(result.as_dict()))) == result


def test_many_unidentified_and_dead_cells_ask_for_review():
    assert "CELLS-UNIDENTIFIED" not in codes(differential(HEALTHY, 22))
    assert "CELLS-UNIDENTIFIED" in codes(differential(HEALTHY, 23))
    assert "CELLS-DEAD" not in codes(differential({**HEALTHY, CellKind.DEAD: 40}))
    assert "CELLS-DEAD" in codes(differential({**HEALTHY, CellKind.DEAD: 41}))


def test_dead_cells_are_given_per_100_white_cells():
    assert differential({**HEALTHY, CellKind.DEAD: 30}).dead_per_100 == pytest.approx(15.0)
    assert differential({CellKind.NEUTROPHIL: 49, CellKind.DEAD: 30}).dead_per_100 is None
    assert differential({CellKind.NEUTROPHIL: 50, CellKind.DEAD: 30}).dead_per_100 == 60.0


@pytest.mark.parametrize(
    ("context", "code"),
    [
        (ScanContext(10, aborted=True), "SCAN-ABORTED"),
        (ScanContext(1000, tiles_missing=1), "TILES-MISSING"),
        (
            ScanContext(100, tiles_unusable={"out of focus": 6}),
            "TILES-OUT-OF-FOCUS",
        ),
        (ScanContext(100, tiles_unusable={"too thick": 6}), "TILES-TOO-THICK"),
        (ScanContext(100, tiles_unusable={"saturated": 6}), "TILES-SATURATED"),
        (ScanContext(100, tiles_unusable={"empty": 51}), "TILES-EMPTY"),
    ],
)
def test_each_shortcoming_of_the_scan_is_told(context, code):
    found = [flag for flag in differential(HEALTHY, context=context).flags if flag.code == code]
    assert [flag.level for flag in found] == [FlagLevel.REVIEW]


def test_few_lost_tiles_are_not_worth_a_flag():
    context = ScanContext(100, 0, {"out of focus": 5, "too thick": 5, "empty": 50})
    assert codes(differential(HEALTHY, context=context)) == {"LIMIT-IMMATURE", "LIMIT-RESEARCH"}


def test_flags_come_most_serious_first():
    result = differential({CellKind.NEUTROPHIL: 20}, 10, ScanContext(aborted=True))
    order = list(FlagLevel)
    levels = [order.index(flag.level) for flag in result.flags]
    assert levels == sorted(levels)
    assert result.flags[0].level is FlagLevel.INVALID
