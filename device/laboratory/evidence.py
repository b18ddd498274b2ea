"""The evidence as Markdown: one section per network, and one for the whole."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from device.laboratory.report import HEADER, Row
from device.laboratory.sweeps import SWEEPS, table
from device.results.cell import UNIDENTIFIED, CellKind
from hal.errors import InputError

Document = Mapping[str, Any]

# Which figures and which columns of a sweep belong to which network.
_ROWS = {
    "scout": ("white cells found", "false finds", "red cells", "platelets"),
    "segmenter": ("Dice",),
    "classifier": (
        "dead or alive",
        "five-part",
        "worst class",
        "the same",
        "unidentified",
        "expected calibration",
    ),
}
_COLUMNS = {
    "scout": ("found", "false_finds", "red_cells", "platelets", "refused"),
    "segmenter": ("dice_cell", "dice_nucleus"),
    "classifier": ("five_part", "alive_or_dead", "unidentified"),
}
_ALL_COLUMNS = (
    "found",
    "false_finds",
    "dice_cell",
    "dice_nucleus",
    "five_part",
    "alive_or_dead",
    "red_cells",
    "platelets",
)
_PICTURES = {
    "classifier": ("confusion", "reliability", "right", "wrong"),
    "segmenter": ("right",),
    "scout": (),
}
_SWEPT = {
    "defocus": "out of focus",
    "noise": "with less light",
    "density": "in thinner and thicker blood",
    "overlap": "with kinds drawn more and more alike",
}


def read_documents(paths: Sequence[Path]) -> tuple[Document, dict[str, Document]]:
    """Return the evaluation and the sweeps by name from files of ``--json``.

    Raises:
        InputError: a file cannot be read or is of another kind, there is not exactly one
            evaluation, or the files were measured with different networks.
    """
    documents = [_read(path) for path in paths]
    evaluations = [document for document in documents if "rows" in document]
    sweeps = {document["sweep"]: document for document in documents if "sweep" in document}
    if len(evaluations) != 1:
        raise InputError("LAB-EVALUATION-COUNT", found=len(evaluations))
    if any(document["versions"] != evaluations[0]["versions"] for document in documents):
        raise InputError("LAB-NETWORKS-DIFFER")
    order = [name for name in SWEEPS if name in sweeps]
    return evaluations[0], {name: sweeps[name] for name in order}


def _read(path: Path) -> Document:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError("LAB-RESULT-UNREADABLE", path=path, reason=error) from error
    if not isinstance(document, dict) or not {"rows", "sweep"} & set(document):
        raise InputError("LAB-RESULT-UNKNOWN", path=path)
    return document


def sections(
    evaluation: Document, sweeps: Mapping[str, Document], pictures: str = ""
) -> dict[str, str]:
    """Return Markdown by name: ``scout``, ``segmenter``, ``classifier``, and ``all`` of it.

    Args:
        evaluation: from ``leukolux lab evaluate --json``.
        sweeps: from ``leukolux lab sweep --json``, by name.
        pictures: folder or address prefix of the pictures; without it no pictures are shown.
    """
    found = {name: _network(name, evaluation, sweeps, pictures) for name in _ROWS}
    found["all"] = "\n\n".join(
        [_intro(evaluation), _figures(evaluation["rows"]), *_sweeps(sweeps, _ALL_COLUMNS)]
    )
    return {name: f"{text}\n" for name, text in found.items()}


def _network(name: str, evaluation: Document, sweeps: Mapping[str, Document], pictures: str) -> str:
    rows = [row for row in evaluation["rows"] if row["name"].startswith(_ROWS[name])]
    parts = ["## In the whole analysis", _intro(evaluation), _figures(rows)]
    if name == "segmenter":
        parts.append(_dice(evaluation))
    if name == "classifier":
        parts.append(_confusion(evaluation["confusion"], "the cohort"))
        if "balanced" in evaluation:
            parts.append(_confusion(evaluation["balanced"]["confusion"], "all kinds equally often"))
    parts += _sweeps(sweeps, _COLUMNS[name])
    if pictures:
        parts += [f"![{title}]({pictures}{title}.png)" for title in _PICTURES[name]]
    return "\n\n".join(parts)


def _intro(evaluation: Document) -> str:
    cells = evaluation["found"]["n"]
    return (
        f"The shipped INT8 networks in the whole analysis, raw tiles to counted cells, on"
        f" {len(evaluation['donors'])} simulated donors that no training saw, mixed like the"
        f" paper's cohort: {cells} white cells in {evaluation['tiles']} tiles.  Shares have exact"
        " (Clopper-Pearson) 95 % intervals, means the interval of the mean.  Nothing here is a"
        " real deep-UV image."
    )


def _figures(rows: Sequence[Document]) -> str:
    lines: list[tuple[str, ...]] = [HEADER]
    for row in rows:
        *entries, met, note = Row.from_dict(row).cells()
        lines.append((*entries, f"**{met}**" if met == "NO" else met, note))
    return _markdown(lines)


def _dice(evaluation: Document) -> str:
    lines = [
        (
            kind,
            f"{dice['cell']['mean']:.4f}",
            f"{dice['nucleus']['mean']:.4f}",
            str(dice["cell"]["n"]),
        )
        for kind, dice in evaluation["dice"].items()
        if dice["cell"]["n"]
    ]
    return _markdown([("Dice by kind", "cell", "nucleus", "views"), *lines])


def _confusion(confusion: Mapping[str, Mapping[str, int]], title: str) -> str:
    answers = [*(kind.value for kind in CellKind), UNIDENTIFIED, "missed"]
    lines = [
        (kind, *(str(counts[answer]) for answer in answers))
        for kind, counts in confusion.items()
        if any(counts.values())
    ]
    note = (
        f"`{UNIDENTIFIED}`: cells below the confidence threshold, which stand in their row under"
        " the most probable kind as well."
    )
    return _markdown([(f"{title}: truth \\ answer", *answers), *lines]) + f"\n\n{note}"


def _sweeps(sweeps: Mapping[str, Document], columns: Sequence[str]) -> list[str]:
    return [
        f"How it falls {_SWEPT[name]} ({sweep['donors']} donors, `leukolux lab sweep {name}`):\n\n"
        + _markdown(table(sweep["axis"], sweep["points"], columns))
        for name, sweep in sweeps.items()
    ]


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    head, *rest = (f"| {' | '.join(line)} |" for line in lines)
    return "\n".join([head, "|---" * len(lines[0]) + "|", *rest])
