"""Sections of a model card made of what the working folder holds beyond the scores."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from hal.errors import InputError
from models.manifest import Score
from models.train.data.samples import CLASSES
from models.train.evaluation.compare import CHAIN, Comparison, Row
from models.train.evaluation.robustness import Robustness
from models.train.evaluation.transfer import DEVELOPMENT, Domain, Transfer

COMPARE, ROBUSTNESS, TRANSFER = "compare.json", "robustness.json", "transfer.json"
EVIDENCE = "evidence.json"
ROBUSTNESS_FIGURES = {
    "scout": ("white cells found", "white cells false finds per field"),
    "segmenter": ("cell Dice", "nucleus Dice"),
    "classifier": ("five-part accuracy",),
}
_EVIDENCE = TypeAdapter(dict[str, str])


def keep_evidence(work: Path, file: Path) -> None:
    """Copy a JSON file {network: Markdown} into the working folder.

    Raises:
        InputError: it is something else.
    """
    text = file.read_text(encoding="utf-8")
    try:
        _EVIDENCE.validate_json(text)
    except ValidationError as error:
        raise InputError("TRAIN-EVIDENCE-INVALID", path=file) from error
    (work / EVIDENCE).write_text(text, encoding="utf-8")


def sections(work: Path, network: str) -> list[str]:
    """Return the sections on a network for which the working folder has results, Markdown."""
    out = []
    if (work / COMPARE).exists():
        comparison = Comparison.model_validate_json((work / COMPARE).read_text(encoding="utf-8"))
        own = {network, CHAIN} if network == "classifier" else {network}
        rows = [row for row in comparison.rows if row.network in own]
        out.append(
            "## INT8 against float32\n\nThe same samples, the same thresholds; loss in percentage"
            f" points, at most {comparison.largest_allowed_points} wanted.\n\n{compare_table(rows)}"
        )
    if (work / ROBUSTNESS).exists() and network in ROBUSTNESS_FIGURES:
        result = Robustness.model_validate_json((work / ROBUSTNESS).read_text(encoding="utf-8"))
        out.append(
            "## Robustness on real morphology\n\nStained validation pictures (PBC, BCCD); each row"
            " changes one thing from the plain conversion in focus.  No training sample was made"
            " with the conversions marked held out.\n\n"
            + robustness_table(result, ROBUSTNESS_FIGURES[network])
        )
    if (work / TRANSFER).exists() and network == "classifier":
        transfer = Transfer.model_validate_json((work / TRANSFER).read_text(encoding="utf-8"))
        out.append(
            "## How real the simulator is\n\nAnother classifier, trained on simulation alone"
            f" ({transfer.steps} steps) with the segmenter's masks, tested on real morphology."
            f"  The simulator may have been changed from what the {DEVELOPMENT} show, not from"
            " the validation pictures.\n\n" + transfer_tables(transfer)
        )
    if (work / EVIDENCE).exists():
        texts = _EVIDENCE.validate_json((work / EVIDENCE).read_text(encoding="utf-8"))
        if network in texts:
            out.append(texts[network].strip())
    return out


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def compare_table(rows: Iterable[Row]) -> str:
    """Return the figures of both precisions, Markdown."""
    head = ("network", "samples", "figure", "float32", "INT8", "loss, points", "n")
    return _table(
        head,
        (
            (
                row.network,
                row.domain,
                row.figure,
                f"{row.float32:.4f}",
                f"{row.int8:.4f}",
                f"{row.loss_points:+.2f}",
                str(row.n),
            )
            for row in rows
        ),
    )


def _with_interval(score: Score) -> str:
    if score.low is None or score.high is None:
        return f"{score.value:.3f}"
    return f"{score.value:.3f} ({score.low:.3f}-{score.high:.3f})"


def robustness_table(result: Robustness, figures: Sequence[str]) -> str:
    """Return some figures under every condition with their 95 % intervals, Markdown."""
    units = [f"{name} (n = {result.results[0].scores[name].n})" for name in figures]
    return _table(
        ("condition", *units),
        (
            (row.condition, *(_with_interval(row.scores[figure]) for figure in figures))
            for row in result.results
        ),
    )


def transfer_tables(transfer: Transfer) -> str:
    """Return accuracy, sensitivities and confusion per set of cells, Markdown."""
    names = list(dict.fromkeys(name for domain in transfer.domains for name in domain.scores))
    wanted = [n for n in names if n == "five-part accuracy" or n.startswith("sensitivity")]
    figures = _table(
        ("cells", *wanted),
        (
            (
                domain.name,
                *(
                    _with_interval(domain.scores[name]) if name in domain.scores else ""
                    for name in wanted
                ),
            )
            for domain in transfer.domains
        ),
    )
    return "\n\n".join([figures, *map(_confusion, transfer.domains)])


def _confusion(domain: Domain) -> str:
    return _table(
        (f"{domain.name}: truth \\ answer", *CLASSES),
        (
            (kind, *map(str, row))
            for kind, row in zip(CLASSES, domain.confusion, strict=True)
            if any(row)
        ),
    )
