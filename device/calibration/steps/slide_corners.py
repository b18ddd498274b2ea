"""Step: two opposite corners of the smear, driven to or confirmed by a person: the scan area."""

from __future__ import annotations

from collections.abc import Mapping

from device.calibration.steps.context import CalibrationContext
from device.calibration.steps.quantities import Outcome, Quantity, judged
from hal.config import StageConfig

CORNERS = ("first", "second")
MIN_SIDE_UM = 500.0
STEP_UNCERTAINTY_UM = 20.0
"""How well a person sets a corner by the picture."""

_CODES = {
    "left_um": "CALIBRATION-CORNERS-OFF-SLIDE",
    "top_um": "CALIBRATION-CORNERS-OFF-SLIDE",
    "width_um": "CALIBRATION-CORNERS",
    "height_um": "CALIBRATION-CORNERS",
}


def measure(context: CalibrationContext, entries: Mapping[str, float]) -> Outcome:
    """Take the rectangle between the two corners; no light and no motion."""
    xs = sorted(entries[f"{corner}_x_um"] for corner in CORNERS)
    ys = sorted(entries[f"{corner}_y_um"] for corner in CORNERS)
    stage: StageConfig = context.settings.stage
    right_um = stage.slide_left_um + stage.slide_width_um
    bottom_um = stage.slide_top_um + stage.slide_height_um
    unsure = STEP_UNCERTAINTY_UM
    quantities = (
        Quantity("left_um", xs[0], "um", unsure, stage.slide_left_um, right_um),
        Quantity("top_um", ys[0], "um", unsure, stage.slide_top_um, bottom_um),
        Quantity("width_um", xs[1] - xs[0], "um", 2 * unsure, MIN_SIDE_UM, right_um - xs[0]),
        Quantity("height_um", ys[1] - ys[0], "um", 2 * unsure, MIN_SIDE_UM, bottom_um - ys[0]),
    )
    return judged(_CODES, quantities)
