"""The choice of the scout's thresholds and of its correction for hidden cells."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")

from models.scout import Detections
from models.train.data.samples import FieldSet
from models.train.release.release import FALLBACK_THRESHOLD, scout_parameters

SIDE_PX = 400
SHADOW_PX2 = 500.0


def centres(count: int, score: float) -> np.ndarray:
    points = np.random.default_rng(count).uniform(20, SIDE_PX - 20, (count, 2))
    return np.column_stack([points, np.full(count, score)]).astype(np.float32)


class HidingScout:
    """Sees the fewer red cells the denser they lie, and beside them false ones of a low score."""

    def __init__(self, due: list[int]) -> None:
        self.due = due

    def find(self, image: np.ndarray) -> Detections:
        seen = self.due[int(image[0, 0])]
        # The number n that a correction n (1 + shadow n / area) turns into the true one.
        density = SHADOW_PX2 / SIDE_PX**2
        found = round((np.sqrt(1 + 4 * density * seen) - 1) / (2 * density))
        red = np.concatenate([centres(found, 0.8), centres(300, 0.2)])
        return Detections(centres(3, 0.9), red, np.empty((0, 3), np.float32), 1.0)


def fields(due: list[int], *, known: bool, focus: float) -> FieldSet:
    nothing = np.empty((0, 2), np.float32)
    return FieldSet(
        gray=[np.full((SIDE_PX, SIDE_PX), i, np.uint8) for i in range(len(due))],
        nuclei=[centres(3, 1.0)[:, :2] for _ in due],
        red_cells=[centres(n, 1.0)[:, :2] if known else nothing for n in due],
        platelets=[nothing for _ in due],
        red_cells_known=[known] * len(due),
        platelets_known=[False] * len(due),
        in_focus=[focus] * len(due),
        group=[f"donor {i}" for i in range(len(due))],
    )


@pytest.mark.parametrize("focus", [1.0, np.nan])
def test_false_centres_are_cut_off_and_hidden_cells_added(focus: float) -> None:
    due = [60, 120, 200, 320]
    chosen = scout_parameters(fields(due, known=True, focus=focus), HidingScout(due))  # type: ignore[arg-type]
    assert 0.2 < chosen["threshold_red_cell"] <= 0.6
    assert chosen["shadow_red_cell_px2"] == pytest.approx(SHADOW_PX2, abs=60)


def test_without_lists_nothing_is_corrected() -> None:
    due = [60, 120]
    chosen = scout_parameters(fields(due, known=False, focus=1.0), HidingScout(due))  # type: ignore[arg-type]
    assert chosen["threshold_red_cell"] == FALLBACK_THRESHOLD
    assert chosen["shadow_red_cell_px2"] == 0.0
    assert chosen["threshold_platelet"] == FALLBACK_THRESHOLD
