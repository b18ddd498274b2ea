"""Step: flat field of blank glass, and what the camera shows in the dark."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from device.calibration.steps.context import CalibrationContext, pixels_of
from device.calibration.steps.quantities import Outcome, Quantity, judged
from device.imaging.background import MAX_ROUGHNESS, roughness

DARK_FRAMES = 8
MAX_UNEVENNESS = 0.6
MAX_DARK_LEVEL = 0.05
MAX_HOT_FRACTION = 1e-3
HOT_LEVEL = 0.02
"""Above the dark level by this share of full scale a pixel is hot."""

MAP_COLUMNS, MAP_ROWS = 8, 6
SMOOTH_PX = 4.0

_CODES = {
    "unevenness": "CALIBRATION-FLAT",
    "roughness": "CALIBRATION-NOT-BLANK",
    "exposure_ms": "CALIBRATION-EXPOSURE",
    "dark_level": "CALIBRATION-DARK-LEVEL",
    "hot_pixel_fraction": "CALIBRATION-HOT-PIXELS",
}


def measure(context: CalibrationContext, entries: Mapping[str, float]) -> Outcome:
    """Take the mean of frames without light, and of blank places."""
    background = context.prepare()
    context.say("Taking frames in the dark.", 0.6)
    frames = [pixels_of(context.rig.imager.take_dark()) for _ in range(DARK_FRAMES)]
    dark: NDArray[np.float32] = np.mean(np.stack(frames), axis=0, dtype=np.float32)
    full_scale = background.full_scale
    level = float(np.median(dark))
    hot = float((dark > level + HOT_LEVEL * full_scale).mean())
    lit = cv2.GaussianBlur(background.mean - dark, (0, 0), SMOOTH_PX)
    unevenness = float((lit.max() - lit.min()) / lit.mean())
    relative = cv2.resize(lit, (MAP_COLUMNS, MAP_ROWS), interpolation=cv2.INTER_AREA) / lit.mean()
    quantities = (
        Quantity("unevenness", unevenness, "", 0.01, None, MAX_UNEVENNESS),
        Quantity("exposure_ms", context.rig.glass.exposure_ms, "ms", None, 1.0, 100.0),
        Quantity("roughness", roughness(background.mean), "", None, None, MAX_ROUGHNESS),
        Quantity(
            "dark_level",
            level / full_scale,
            "",
            float(dark.std()) / full_scale / np.sqrt(dark.size),
            None,
            MAX_DARK_LEVEL,
        ),
        Quantity("hot_pixel_fraction", hot, "", None, None, MAX_HOT_FRACTION),
    )
    details = {
        "frames": context.settings.scan.background_frames,
        "dark_frames": DARK_FRAMES,
        "relative_light": np.round(relative, 3).tolist(),
    }
    return judged(_CODES, quantities, details)
