"""Real morphology under conversions, blur, absorption and size that differ from training's.

Stained validation pictures only.  Each condition changes one thing from the plain conversion in
focus; the conversions in :data:`models.train.data.conversions.HELD_OUT` made no training sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from tqdm import tqdm

from models.classifier import Classifier
from models.layout import BLANK_LEVEL
from models.manifest import Score
from models.scout import Scout
from models.segmenter import Segmenter
from models.train.data import real
from models.train.data.conversions import HELD_OUT, REPORTED
from models.train.data.pseudo_masks import PIXEL_UM
from models.train.data.samples import STORED_CROP_PX, CropSet
from models.train.data.workspace import Workspace
from models.train.evaluation import evaluate

PLAIN = "unmixed"
BLURS_UM = (0.1, 0.2, 0.3, 0.4)
GAINS = (0.6, 0.8, 1.25, 1.5)
SCALES = (0.85, 0.92, 1.08, 1.15)
DOMAIN = "stained-to-UV"
FIGURES = (
    "five-part accuracy",
    "white cells found",
    "white cells false finds per field",
    "cell Dice",
    "nucleus Dice",
)


@dataclass(frozen=True)
class Condition:
    """What is changed.

    Attributes:
        name: for the table.
        conversion: key of ``REPORTED``.
        blur_um: sigma of a Gaussian on top of the picture's own blur.
        gain: factor of the optical density.
        scale: of lengths.
    """

    name: str
    conversion: str = PLAIN
    blur_um: float = 0.0
    gain: float = 1.0
    scale: float = 1.0

    def versions(self, image_bgr: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the converted and changed picture, uint8 (1, h, w)."""
        transmission = np.arange(256, dtype=np.float32) / BLANK_LEVEL
        curve = np.clip(np.round(transmission**self.gain * BLANK_LEVEL), 0, 255).astype(np.uint8)
        gray = cv2.LUT(REPORTED[self.conversion](image_bgr), curve)
        if self.blur_um:
            gray = cv2.GaussianBlur(gray, (0, 0), self.blur_um / PIXEL_UM)
        return np.asarray(gray, np.uint8)[None]


class Result(BaseModel):
    """What was reached under a condition.

    Attributes:
        condition: its name.
        held_out: whether the conversion made no training sample.
        scores: by figure.
    """

    model_config = ConfigDict(frozen=True)

    condition: str
    held_out: bool
    scores: dict[str, Score]


class Robustness(BaseModel):
    """Results of all conditions."""

    model_config = ConfigDict(frozen=True)

    results: tuple[Result, ...]


def conditions() -> list[Condition]:
    """Return every conversion, then steps of blur, absorption and size of the plain one."""
    return [
        *(
            Condition(f"{name}, held out" if name in HELD_OUT else name, conversion=name)
            for name in REPORTED
        ),
        *(Condition(f"blur {sigma} um", blur_um=sigma) for sigma in BLURS_UM),
        *(Condition(f"absorption x {gain}", gain=gain) for gain in GAINS),
        *(Condition(f"size x {scale}", scale=scale) for scale in SCALES),
    ]


def _single_cells(root: Path, condition: Condition, every: int) -> CropSet:
    """Return one validation picture in ``every`` without masks: only its class is truth."""
    gray, kinds, groups = [], [], []
    pictures = real.single_pictures(root, "val", condition.scale)
    for index, (path, kind, image) in enumerate(pictures):
        if index % every == 0:
            gray.append(condition.versions(image))
            kinds.append(kind)
            groups.append(path.stem)
    shape = (len(kinds), STORED_CROP_PX, STORED_CROP_PX)
    return CropSet(
        np.stack(gray),
        np.zeros(shape, np.uint8),
        np.zeros(len(kinds), np.uint8),
        np.array(kinds, np.uint8),
        np.array(groups),
    )


def measured(work: Workspace, root: Path, every: int) -> Robustness:
    """Measure the exported networks under each condition.

    Args:
        work: with exported networks.
        root: folder of stained images.
        every: use every n-th single-cell picture; whole fields are all used.

    Raises:
        InputError: a network or a picture is missing.
    """
    networks = (work.scout(), work.segmenter(), work.classifier())
    return Robustness(
        results=tuple(
            Result(
                condition=condition.name,
                held_out=condition.conversion in HELD_OUT,
                scores=_scores(networks, root, condition, every),
            )
            for condition in tqdm(conditions(), desc="robustness")
        )
    )


def _scores(
    networks: tuple[Scout, Segmenter, Classifier], root: Path, condition: Condition, every: int
) -> dict[str, Score]:
    scout, segmenter, classifier = networks
    fields = real.stained_fields(root, "val", condition.versions, condition.scale)
    drawn = real.field_cells(root, "val", condition.versions, condition.scale)
    single = _single_cells(root, condition, every)
    answers = evaluate.classify(single, segmenter, classifier)
    scores = {
        **evaluate.scout_scores(fields, scout, DOMAIN),
        **evaluate.segmenter_scores(drawn, segmenter, DOMAIN),
        **evaluate.classifier_scores(answers, classifier.threshold, DOMAIN),
    }
    return {figure: scores[f"{DOMAIN} {figure}"] for figure in FIGURES}
