"""Pictures of an evaluation: confusion, reliability, examples right and wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from device.laboratory.cell_samples import Album, Example, Mask
from device.laboratory.drawing import (
    INK,
    PALETTE,
    PAPER,
    Axes,
    Picture,
    blank,
    ticks,
    write,
)
from device.laboratory.figures import Proportion
from device.laboratory.output_files import write_picture
from device.laboratory.reliability import Calibration
from device.laboratory.scores import Evaluation
from device.results.cell import FIVE_TYPES, CellKind

_CELL_PX = 84
_ZOOM = 2
_CAPTION_PX = 38
_COLUMNS = 5
_SIDE_PX = 120
_TRUE_COLOURS = ((0, 170, 0), (170, 140, 0))
_FOUND_COLOURS = ((40, 40, 230), (220, 0, 220))


def write_pictures(folder: Path, evaluation: Evaluation, album: Album) -> list[Path]:
    """Draw everything into ``folder`` and return the files.

    Raises:
        InputError: the folder cannot be written.
    """
    pictures = {
        "confusion.png": confusion(evaluation),
        "reliability.png": reliability(evaluation.calibration),
        "right.png": sheet("Right answers", _by_kind(album.right)),
        "wrong.png": _below(
            sheet("Wrong names, the surest first", album.wrong),
            sheet("White cells that were not found", album.missed),
            sheet("Finds where there is no white cell", album.false),
        ),
    }
    for name, picture in pictures.items():
        write_picture(folder / name, picture)
    return [folder / name for name in pictures]


def confusion(evaluation: Evaluation) -> Picture:
    """Draw the confusion table: true kinds downward, most probable kinds across, missed last."""
    names, kinds = evaluation.names, list(CellKind)
    left, top = 150, 90
    picture = blank(left + (len(kinds) + 1) * _CELL_PX + 110, top + len(kinds) * _CELL_PX + 40)
    five = evaluation.five_part
    write(picture, f"True kind (rows) and answer (columns); five-part {five}", (12, 24), size=0.5)
    for column, title in enumerate([*(kind.value for kind in kinds), "missed"]):
        x = left + column * _CELL_PX + _CELL_PX // 2
        write(picture, title, (x, top - 10 - 18 * (column % 2)), size=0.42, align="middle")
    for row, kind in enumerate(kinds):
        missed = sum(donor.comparison.missed[kind] for donor in evaluation.donors)
        counts = [*(names[kind, other] for other in kinds), missed]
        share = evaluation.sensitivities[kind]
        y = top + row * _CELL_PX
        weight = 0.5 if kind in FIVE_TYPES else 0.42
        write(picture, kind.value, (left - 8, y + _CELL_PX // 2 + 5), size=weight, align="right")
        for column, count in enumerate(counts):
            _entry(picture, (left + column * _CELL_PX, y), count, share.n, right=column == row)
        x = left + len(counts) * _CELL_PX + 8
        write(picture, "-" if not share.n else f"{share.percent:.1f} %", (x, y + _CELL_PX // 2 + 5))
    return picture


def _entry(
    picture: Picture, corner_px: tuple[int, int], count: int, of: int, *, right: bool
) -> None:
    """Fill one field of the confusion table, darker with the share of its row."""
    share = min(1.0, count / of) if of else 0.0
    target = np.array(PALETTE[2] if right else PALETTE[1], float)
    depth = 0.85 * share**0.5
    colour = tuple(int(v) for v in (1 - depth) * np.array(PAPER) + depth * target)
    x, y = corner_px
    cv2.rectangle(picture, (x, y), (x + _CELL_PX, y + _CELL_PX), colour, -1)
    cv2.rectangle(picture, (x, y), (x + _CELL_PX, y + _CELL_PX), (190, 190, 190), 1)
    ink = PAPER if depth > 0.6 else INK
    if count:
        middle = x + _CELL_PX // 2
        write(picture, str(count), (middle, y + 40), size=0.55, colour=ink, align="middle")
        write(picture, f"{share:.1%}", (middle, y + 62), size=0.38, colour=ink, align="middle")


def reliability(calibration: Calibration) -> Picture:
    """Draw share right against confidence with exact intervals, and how many cells each has."""
    picture = blank(620, 720)
    unit = (0.0, 1.0)
    axes = Axes(70, 60, 500, 420, unit, unit)
    title = f"Expected calibration error {calibration.expected_error:.2%} (n = {calibration.n})"
    axes.draw(picture, ticks(*unit), ticks(*unit), title)
    cv2.line(picture, axes.pixel(0, 0), axes.pixel(1, 1), (150, 150, 150), 1, cv2.LINE_AA)
    for part in calibration.bins:
        low, high = Proportion(round(part.right * part.n), part.n).interval
        lower, upper = (axes.pixel(part.confidence, end / 100.0) for end in (low, high))
        cv2.line(picture, lower, upper, PALETTE[1], 1, cv2.LINE_AA)
    points = [(part.confidence, part.right) for part in calibration.bins]
    axes.curve(picture, points, 0)
    write(picture, "highest probability", (320, 514), align="middle")
    write(picture, "share right (bars: 95 % interval)", (78, 78), size=0.4)
    most = max((part.n for part in calibration.bins), default=1)
    top = float(np.log10(most + 1))
    bars = Axes(70, 560, 500, 110, unit, (0.0, top))
    decades = [(float(np.log10(10**k + 1)), str(10**k)) for k in range(int(np.log10(most)) + 1)]
    bars.draw(picture, ticks(*unit), decades, "cells per bin")
    for part in calibration.bins:
        corner = bars.pixel(part.low, float(np.log10(part.n + 1)))
        cv2.rectangle(picture, corner, bars.pixel(part.high, 0.0), PALETTE[0], -1)
        cv2.rectangle(picture, corner, bars.pixel(part.high, 0.0), PAPER, 1)
    return picture


def sheet(title: str, examples: Sequence[Example]) -> Picture:
    """Draw example cells in rows under a title; green and teal truth, red and magenta found."""
    side = _SIDE_PX * _ZOOM
    lines = -(-len(examples) // _COLUMNS)
    picture = blank(_COLUMNS * (side + 8) + 8, 62 + lines * (side + _CAPTION_PX))
    write(picture, f"{title} ({len(examples)} shown)", (10, 24), size=0.6)
    x = 10
    for name, colour in (
        ("true cell", _TRUE_COLOURS[0]),
        ("true nucleus", _TRUE_COLOURS[1]),
        ("found cell", _FOUND_COLOURS[0]),
        ("found nucleus", _FOUND_COLOURS[1]),
    ):
        write(picture, name, (x, 48), colour=colour)
        x += 130
    for index, example in enumerate(examples):
        x, y = 8 + index % _COLUMNS * (side + 8), 62 + index // _COLUMNS * (side + _CAPTION_PX)
        picture[y : y + side, x : x + side] = _cell_picture(example)
        for line, words in enumerate(_caption(example)):
            write(picture, words, (x, y + side + 14 + 16 * line), size=0.4)
    return picture


def _cell_picture(example: Example) -> Picture:
    middle = example.gray.shape[0] // 2
    inner = slice(middle - _SIDE_PX // 2, middle + _SIDE_PX // 2)
    gray = example.gray[inner, inner]
    enlarged = cv2.resize(gray, None, fx=_ZOOM, fy=_ZOOM, interpolation=cv2.INTER_CUBIC)
    picture = np.asarray(cv2.cvtColor(enlarged, cv2.COLOR_GRAY2BGR), np.uint8)
    for mask, colours in (
        (example.true_mask, _TRUE_COLOURS),
        (example.found_mask, _FOUND_COLOURS),
    ):
        for outline, colour in zip(_outlines(mask[inner, inner]), colours, strict=True):
            cv2.drawContours(picture, outline, -1, colour, 1, cv2.LINE_AA)
    return picture


def _outlines(mask: Mask) -> Iterator[Sequence[np.ndarray]]:
    """Yield the enlarged outlines of cell and nucleus."""
    for least in (1, 2):
        region = (mask >= least).astype(np.uint8)
        enlarged = cv2.resize(region, None, fx=_ZOOM, fy=_ZOOM, interpolation=cv2.INTER_NEAREST)
        yield cv2.findContours(enlarged, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)[0]


def _caption(example: Example) -> tuple[str, str]:
    true = "no cell" if example.true_kind is None else example.true_kind.value
    if example.called is None:
        answer = "not found"
    else:
        doubt = "" if example.identified else " ?"
        answer = f"{example.called.value} {example.probability:.2f}{doubt}"
    return f"{true} ({example.donor})", f"-> {answer}"


def _by_kind(examples: Sequence[Example]) -> list[Example]:
    kinds = list(CellKind)
    return sorted(examples, key=lambda example: kinds.index(example.called or CellKind.OTHER))


def _below(*sheets: Picture) -> Picture:
    return np.vstack(sheets)
