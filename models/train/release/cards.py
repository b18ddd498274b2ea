"""Model cards (Mitchell et al., FAT* 2019): what each network is, was trained on, and reaches."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from models.manifest import NetworkEntry, Score
from models.train.data.samples import CLASSES
from models.train.evaluation.evaluate import Classified, confusion
from models.train.release.card_sections import sections

_SIMULATED = (
    "simulated deep-UV smears (this software's own physics model, donors 1000-1999,"
    " all diseases, white cells enriched, two thirds of the donors with all kinds equally often)"
)
_STAINED = "stained bright-field cells converted to UV-like gray with randomised conversions"
_LABORATORY = "annotated deep-UV scans of a laboratory"
_STAINED_SETS = {
    "scout": "BCCD fields, red-cell fields",
    "segmenter": "BCCD fields with drawn masks, PBC with pseudo masks",
    "classifier": "PBC and BCCD, masks from the segmenter",
}
_PURPOSE = {
    "scout": (
        "Looks at a whole tile and marks the centres of white-cell candidates on an 8 px grid, of"
        " red cells and platelets on a 4 px grid, and says how sharp the tile is.  Numbers of red"
        " cells and platelets are corrected for those that lie hidden (`shadow_*_px2`: the area"
        " around each red cell that hides another, or a platelet)."
    ),
    "segmenter": (
        "Outlines the cell in the middle of a 192 px crop and its nucleus, leaving touching"
        " neighbours out.  Each crop is shown in several quarter turns (`turns`) and the answers"
        " are averaged."
    ),
    "classifier": (
        "Says what the cell in the middle of a 128 px crop is, from the gray picture and the two"
        f" masks: {', '.join(CLASSES)}.  `other` holds erythroblasts, immature granulocytes,"
        " platelets on red cells and the scout's false finds."
    ),
}
_SIMULATED_SPLIT = """\
Simulated donors are split by seed: 1000-1999 training, 2000-2999 thresholds and temperature,
3000-3999 the scores below.
"""
_SITTINGS = """\
The shipped weights come from several sittings, each started from the weights of the one before,
all within these splits, the first ones on earlier versions of the simulator: training from nothing
gives networks like these, not the same ones.
"""
_LABORATORY_SPLIT = """\
Donors of the laboratory are split by name and seed, never by crop: 70 % training, 15 % thresholds
and temperature, 15 % the scores below.  Their images keep the laboratory's own terms.
"""
_CREDITS = """\
Stained pictures are split by field or by picture, because their donors are not known; their
validation split was looked at during development, but nothing was trained or calibrated on it.
Credits and licences (none of the pictures is distributed with this software):

- single cells (PBC): Acevedo et al., "A dataset of microscopic peripheral blood cell images for
  development of automatic recognition systems", Data in Brief 2020, Mendeley Data snkd93bnjr,
  CC BY 4.0;
- whole fields: BCCD_Dataset (Shenggan 2017), MIT; their masks: Banik et al. 2020, MIT;
- red-cell fields: Aslan 2020, MIT.
"""
_LIMITS = """\
## Limits

- **Research use only.**  Not a medical device; no clinical performance is claimed.
- No public deep-UV set of blood cells exists.  "simulated" scores are on cells of the physics
  model that also made the training cells; real smears will differ.  "stained-to-UV" scores are
  on real cells, but stained and photographed in visible light and then converted: they show that
  real shapes are understood, not deep-UV accuracy.
- Blasts and other malignant cells were never seen; immature granulocytes and erythroblasts are
  only told apart from mature cells, not from each other.
- Dead cells were only seen simulated.
- The simulator's optics are one objective (NA 0.5, 260 nm) at 0.165 um per pixel; sizes may
  differ by 8 % and focus by about 1.5 um before quality falls.
"""


def training_data(name: str, domains: Collection[str], *, stained: bool) -> str:
    """Return what a network was trained on, in words.

    Args:
        name: of the network.
        domains: of :meth:`models.train.data.workspace.Workspace.domains` for the training split.
        stained: whether converted stained pictures were among it.
    """
    parts = [_SIMULATED] if "simulated" in domains else []
    parts += [_LABORATORY] if "laboratory" in domains else []
    parts += [f"{_STAINED} ({_STAINED_SETS[name]})"] if stained else []
    return "; ".join(parts)


def _training(data: str) -> str:
    """Return what the training data were and how they were split, Markdown."""
    parts = [f"## Training data\n\n{data[0].upper()}{data[1:]}."]
    if _SIMULATED in data:
        parts.append(_SIMULATED_SPLIT)
    parts.append(_LABORATORY_SPLIT if _LABORATORY in data else _SITTINGS)
    if _STAINED in data:
        parts.append(_CREDITS)
    return "\n\n".join(part.rstrip() for part in parts)


def _cell(score: Score) -> str:
    interval = "" if score.low is None else f"{score.low:.4f} - {score.high:.4f}"
    return f"{score.value:.4f} | {interval} | {score.n}"


def score_table(scores: Mapping[str, Score]) -> str:
    """Return figures with their intervals as a Markdown table."""
    rows = [f"| {name} | {_cell(score)} |" for name, score in scores.items()]
    return "\n".join(["| figure | value | 95 % interval | n |", "|---|---|---|---|", *rows])


def _confusion_table(name: str, result: Classified) -> str:
    head = f"| {name}: truth \\ answer | " + " | ".join(CLASSES) + " |"
    rows = [
        f"| {kind} | " + " | ".join(map(str, row)) + " |"
        for kind, row in zip(CLASSES, confusion(result), strict=True)
        if row.any()
    ]
    return "\n".join([head, "|---" * (len(CLASSES) + 1) + "|", *rows])


def _reliability_table(name: str, result: Classified) -> str:
    confidence = result.probabilities.max(1)
    correct = result.probabilities.argmax(1) == result.kinds
    rows = []
    for low, high in ((0.0, 0.5), (0.5, 0.7), (0.7, 0.8), (0.8, 0.9), (0.9, 0.95), (0.95, 1.01)):
        inside = (confidence >= low) & (confidence < high)
        if inside.any():
            mean, right = confidence[inside].mean(), correct[inside].mean()
            rows.append(
                f"| {low:.2f} - {min(high, 1.0):.2f} | {mean:.3f} | {right:.3f} | {inside.sum()} |"
            )
    head = f"| {name}: confidence | mean confidence | share right | cells |"
    return "\n".join([head, "|---|---|---|---|", *rows])


def card(
    name: str,
    entry: NetworkEntry,
    scores: Mapping[str, Score],
    results: Mapping[str, Classified],
    further: Sequence[str] = (),
) -> str:
    """Return the model card of a network, Markdown, with ``further`` sections before the limits."""
    parts = [
        f"# {name}\n\n{_PURPOSE[name]}",
        f"- file `{entry.file}`, SHA-256 `{entry.sha256}`\n"
        f"- input: {entry.input_layout}; gray 220 is blank glass; 0.165 um per pixel\n"
        f"- INT8 (uint8 activations, int8 weights per channel)\n"
        + "".join(f"- {key}: {value}\n" for key, value in entry.parameters.items()),
        _training(entry.training_data),
        "## Scores\n\nOf the INT8 file as shipped, on donors and pictures no training saw.  Shares"
        " have exact (Clopper-Pearson) intervals, means bootstrap intervals; n counts cells, or"
        " fields where the figure is per field.\n\n" + score_table(scores),
    ]
    if name == "classifier":
        parts += [_confusion_table(domain, result) for domain, result in results.items()]
        parts += [_reliability_table(domain, result) for domain, result in results.items()]
    return "\n\n".join([*parts, *further, _LIMITS])


def write_cards(
    folder: Path,
    scores: Mapping[str, Mapping[str, Score]],
    results: Mapping[str, Classified],
    entries: Mapping[str, NetworkEntry],
) -> None:
    """Write one card per network into ``folder``, which lies in the working folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, figures in scores.items():
        text = card(name, entries[name], figures, results, sections(folder.parent, name))
        (folder / f"{name}.md").write_text(text, encoding="utf-8")
