"""Pictures of evaluations and sweeps: confusion, reliability, example cells, curves.

Importing this module raises InputError if the extra ``lab`` is not installed.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from device.laboratory.cell_samples import CellSamples, Example
from device.laboratory.figures import Proportion
from device.laboratory.output_files import write_bytes
from device.laboratory.reliability import Calibration
from device.laboratory.scores import Evaluation
from device.laboratory.sweeps import COLUMNS
from device.results.cell import CellKind
from hal.errors import InputError

try:
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.lines import Line2D
except ModuleNotFoundError as error:
    raise InputError("LAB-EXTRA-MISSING", library=error.name) from error

# Okabe and Ito's colours, which people with colour blindness tell apart too.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00")

_HIGH = ("found", "five_part", "alive_or_dead", "dice_cell", "dice_nucleus")
_ZERO = ("red_cells", "platelets", "false_finds", "unidentified", "refused")
_SHEET_COLUMNS = 5
_HEAD_IN = 0.8
_SIDE_PX = 120
_OUTLINES = {
    "true cell": "#00aa00",
    "true nucleus": "#008caa",
    "found cell": "#e62828",
    "found nucleus": "#dc00dc",
}


def write_pictures(folder: Path, evaluation: Evaluation, samples: CellSamples) -> list[Path]:
    """Draw everything into ``folder`` and return the files.

    Raises:
        InputError: the folder cannot be written.
    """
    kinds = list(CellKind)
    right = sorted(samples.right, key=lambda sample: kinds.index(sample.called or CellKind.OTHER))
    figures = {
        "confusion.png": confusion(evaluation),
        "reliability.png": reliability(evaluation.calibration),
        "right.png": sheets({"Right answers": right}),
        "wrong.png": sheets(
            {
                "Wrong names, the surest first": samples.wrong,
                "White cells that were not found": samples.missed,
                "Finds where there is no white cell": samples.false,
            }
        ),
    }
    for name, figure in figures.items():
        write_picture(folder / name, figure)
    return [folder / name for name in figures]


def write_picture(path: Path, figure: Figure) -> None:
    """Write a PNG, making its folder; the same figure gives the same bytes.

    Raises:
        InputError: it cannot be written.
    """
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=100, metadata={"Software": None})
    write_bytes(path, png.getvalue())


def confusion(evaluation: Evaluation) -> Figure:
    """Draw the confusion table: true kinds downward, most probable kinds across, missed last."""
    kinds = list(CellKind)
    missed = [sum(donor.comparison.missed[kind] for donor in evaluation.donors) for kind in kinds]
    named = [[evaluation.names[true, other] for other in kinds] for true in kinds]
    counts = np.column_stack([named, missed])
    right = [evaluation.sensitivities[kind] for kind in kinds]
    shares = np.minimum(1.0, counts / np.maximum(1, [share.n for share in right])[:, None])
    depth = np.where(np.eye(*counts.shape) > 0, 1, -1) * np.sqrt(shares)

    figure = Figure((9.3, 7.2), layout="constrained")
    axes = figure.subplots()
    axes.pcolormesh(depth, cmap="BrBG", vmin=-1.3, vmax=1.3, edgecolors="lightgray", linewidth=1)
    for row, column in zip(*counts.nonzero(), strict=True):
        ink = "white" if abs(depth[row, column]) > 0.7 else "black"
        words = f"{counts[row, column]}\n{shares[row, column]:.1%}"
        axes.text(column + 0.5, row + 0.5, words, ha="center", va="center", color=ink)
    axes.set_title(
        f"True kind (rows) and answer (columns); five-part {evaluation.five_part}", pad=12
    )
    axes.set_xticks(np.arange(len(kinds) + 1) + 0.5, [*kinds, "missed"])
    axes.set_yticks(np.arange(len(kinds)) + 0.5, kinds)
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.invert_yaxis()
    for row, share in enumerate(right):
        words = f"{share.percent:.1f} %" if share.n else "-"
        axes.text(len(kinds) + 1.1, row + 0.5, words, va="center")
    return figure


def reliability(calibration: Calibration) -> Figure:
    """Draw share right against confidence with exact intervals, and how many cells each has."""
    bins = calibration.bins
    confidence = [part.confidence for part in bins]
    ends = [Proportion(round(part.right * part.n), part.n).interval for part in bins]
    low, high = np.reshape(ends, (-1, 2)).T / 100.0

    figure = Figure((6.2, 7.2), layout="constrained")
    curve, numbers = figure.subplots(2, height_ratios=(4, 1), sharex=True)
    curve.plot((0, 1), (0, 1), color="gray", linewidth=1)
    curve.vlines(confidence, low, high, color=PALETTE[1])
    curve.plot(confidence, [part.right for part in bins], "o-", color=PALETTE[0])
    curve.set(
        title=f"Expected calibration error {calibration.expected_error:.2%} (n = {calibration.n})",
        ylabel="share right (bars: 95 % interval)",
        xlim=(0, 1),
        ylim=(0, 1.02),
    )
    numbers.bar(
        [part.low for part in bins],
        [part.n for part in bins],
        [part.high - part.low for part in bins],
        align="edge",
        color=PALETTE[0],
        edgecolor="white",
    )
    numbers.set(xlabel="highest probability", ylabel="cells per bin", yscale="log")
    numbers.set_ylim(bottom=0.5)
    for axes in (curve, numbers):
        axes.grid(color="lightgray")
        axes.set_axisbelow(True)
    return figure


def sheets(parts: Mapping[str, Sequence[Example]]) -> Figure:
    """Draw example cells in rows under titles; green and teal truth, red and magenta found."""
    rows = [-(-len(examples) // _SHEET_COLUMNS) for examples in parts.values()]
    heights_in = [_HEAD_IN + 2.75 * count for count in rows]
    figure = Figure((12.5, sum(heights_in)))
    places = figure.subfigures(len(parts), height_ratios=heights_in, squeeze=False).flat
    for place, count, height_in, (title, examples) in zip(
        places, rows, heights_in, parts.items(), strict=True
    ):
        place.suptitle(
            f"{title} ({len(examples)} shown)", x=0.01, y=1 - 0.1 / height_in, ha="left", va="top"
        )
        if examples:
            _sheet(place, count, 1 - _HEAD_IN / height_in, examples)
    return figure


def _sheet(figure: SubFigure, rows: int, top: float, examples: Sequence[Example]) -> None:
    handles = [Line2D([], [], color=colour, label=name) for name, colour in _OUTLINES.items()]
    figure.legend(handles=handles, loc="upper right", ncols=len(handles), frameon=False)
    places = figure.subplots(rows, _SHEET_COLUMNS, squeeze=False)
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.0, top=top, wspace=0.03, hspace=0.18)
    for axes in places.flat:
        axes.axis("off")
    for axes, example in zip(places.flat, examples, strict=False):
        middle = example.gray.shape[0] // 2
        inner = slice(middle - _SIDE_PX // 2, middle + _SIDE_PX // 2)
        gray = example.gray[inner, inner]
        axes.imshow(gray, cmap="gray", vmin=0, vmax=255, interpolation="bicubic")
        colours = list(_OUTLINES.values())
        for mask, pair in ((example.true_mask, colours[:2]), (example.found_mask, colours[2:])):
            seen = mask[inner, inner]
            levels = [level for level in (0.5, 1.5) if seen.max() > level]
            if levels:
                axes.contour(seen, levels, colors=pair[: len(levels)], linewidths=1.0)
        axes.set_title(_caption(example), loc="left", fontsize=8, pad=3)


def _caption(example: Example) -> str:
    true = "no cell" if example.true_kind is None else example.true_kind.value
    if example.called is None:
        answer = "not found"
    else:
        doubt = "" if example.identified else " ?"
        answer = f"{example.called.value} {example.probability:.2f}{doubt}"
    return f"{true} ({example.donor})\n-> {answer}"


def sweep_chart(axis: str, found: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw a sweep: what should stay at 100 % on the left, what should stay at 0 on the right."""
    figure = Figure((11.8, 5.2), layout="constrained")
    high, zero = figure.subplots(1, 2)
    for axes, title, names in (
        (high, "should stay high, %", _HIGH),
        (zero, "should stay at zero, %", _ZERO),
    ):
        for name, colour in zip(names, PALETTE, strict=True):
            curve = [_percent(name, COLUMNS[name][1](point)) for point in found]
            axes.plot(curve, "o-", color=colour, label=_legend(name))
        low, top = axes.get_ylim()
        axes.set(title=title, xlabel=axis, ylim=(max(low, -100.0), min(top, 100.5)))
        axes.set_xticks(range(len(found)), [f"{point['value']:g}" for point in found])
        axes.grid(color="lightgray")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=2, frameon=False)
    return figure


def _percent(name: str, value: float | None) -> float:
    if value is None:
        return float("nan")
    return 100.0 * value if name.startswith("dice") else value


def _legend(name: str) -> str:
    title = COLUMNS[name][0].replace(" %", "").replace(", error", ", error of the count")
    return f"{title} x 100" if name.startswith("dice") else title
