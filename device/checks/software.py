"""Checks of what needs no device: networks, records, disk, clock, settings, analysis."""

from __future__ import annotations

import math
import shutil
from datetime import UTC, datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from device.analysis.flatfield import Background
from device.analysis.picture import PictureScale
from device.analysis.tile import Tile
from device.checks.context import CheckContext
from device.checks.report import Reading
from device.imaging.background import MAX_PULSE_SHARE
from hal.stage.guarded import StageRules
from models.answers import Answers
from models.layout import BLANK_LEVEL
from models.manifest import read_manifest
from models.runtime import PACKAGE_DIRECTORY
from models.verify import read_answers

EARLIEST: Final = datetime(2025, 1, 1, tzinfo=UTC)
"""This software did not exist before."""

_FULL_SCALE: Final = 4095
_BLANK_SHARE: Final = 0.75
_SAME_CELL_UM: Final = 3.0


def networks(context: CheckContext) -> Reading:
    """Load the networks, one set per thread: hashes and known answers are checked by that."""
    workers = context.settings.analysis.workers
    context.models = [context.load_models() for _ in range(workers)]
    return Reading(len(context.models), context.models[0].execution.line(workers))


def writable(context: CheckContext) -> Reading:
    """Write and take back a row."""
    context.records.check_writable()
    return Reading(0)


def integrity(context: CheckContext) -> Reading:
    """Let the database check itself."""
    problems = context.records.problems()
    return Reading(len(problems), " ".join(problems))


def free_space(context: CheckContext) -> Reading:
    """Return the free megabytes of the disk that holds the records."""
    try:
        return Reading(shutil.disk_usage(context.records.path.parent).free / 1e6)
    except OSError as error:
        return Reading(0.0, f"The free space cannot be asked for: {error}.")


def clock(context: CheckContext) -> Reading:
    """Return by how many seconds the clock is behind the newest record, or this software."""
    with context.records.reader() as reader:
        newest = reader.newest_utc()
    past = max(EARLIEST, datetime.fromisoformat(newest)) if newest else EARLIEST
    behind_s = (past - context.records.utc_now()).total_seconds()
    return Reading(
        max(0.0, behind_s),
        f"The clock is {behind_s:.0f} s behind what was recorded last." if behind_s > 0 else "",
    )


def settings(context: CheckContext) -> Reading:
    """Count what a scan needs and stage or light cannot do: places, heights, the exposure."""
    scan = context.settings.scan
    rules = StageRules.of(context.settings.stage, context.hardware.stage.travel)
    (left_um, top_um, low_um), (right_um, bottom_um, high_um) = rules.low_um, rules.high_um
    places = [(field.x_um, field.y_um) for field in context.plan.fields]
    places.append((scan.blank_x_um, scan.blank_y_um))
    outside = sum(
        not (left_um <= x_um <= right_um and top_um <= y_um <= bottom_um) for x_um, y_um in places
    )
    lowest_um = scan.focus_z_um - scan.focus_range_um
    highest_um = scan.focus_z_um + scan.focus_range_um
    no_focus = not low_um <= lowest_um < highest_um <= high_um
    longest_ms = MAX_PULSE_SHARE * context.hardware.light.max_pulse_ms
    too_long = context.settings.camera.exposure_ms > longest_ms
    said = []
    if outside:
        said.append(
            f"{outside} places of scan area and blank glass lie outside the stage's limits."
        )
    if no_focus:
        said.append(
            f"The focus search from z = {lowest_um:g} to {highest_um:g} um leaves the stage's "
            f"limits of {low_um:g} to {high_um:g} um."
        )
    if too_long:
        said.append(
            f"camera.exposure_ms is above the {longest_ms:g} ms that light.max_pulse_ms allows."
        )
    return Reading(outside + no_focus + too_long, " ".join(said))


def known_tile(context: CheckContext) -> Reading:
    """Analyse the stored tile from raw counts on; return the share of its cells found again.

    The cells and their kinds are those recorded with the networks.
    """
    answers = read_answers(PACKAGE_DIRECTORY, read_manifest(PACKAGE_DIRECTORY))
    image = answers["image"]
    blank = _BLANK_SHARE * _FULL_SCALE
    pixels = np.round(image.astype(np.float32) * (blank / BLANK_LEVEL)).astype(np.uint16)
    background = Background(np.full(image.shape, blank, np.float32), _FULL_SCALE)
    models = context.models[0]
    pixel_um = models.pixel_um
    PictureScale(context.settings.camera.pixel_um, pixel_um)
    tile = Tile(0, 0, 0, 0.0, 0.0, 0.0, pixels, _FULL_SCALE, pixel_um, 50.0)
    found = context.make_analyzer(models, context.settings.analysis, background).analyze(tile).cells
    whole = _whole(answers)
    best = answers["classifier_probabilities"].argmax(axis=1)[whole]
    kinds = answers["classifier_classes"][best]
    again = sum(
        any(
            math.dist((cell.x_px, cell.y_px), centre) * pixel_um <= _SAME_CELL_UM
            and cell.kind.value == kind
            for cell in found
        )
        for centre, kind in zip(answers["centres"][whole], kinds, strict=True)
    )
    return Reading(100.0 * again / len(kinds))


def _whole(answers: Answers) -> NDArray[np.bool_]:
    """Return which of the recorded cells the border of the image does not cut."""
    height, width = answers["image"].shape
    whole = []
    for (x, y), (cell, _) in zip(answers["centres"], answers["segmenter_masks"], strict=True):
        rows, columns = np.nonzero(cell)
        left, top = x - cell.shape[1] // 2, y - cell.shape[0] // 2
        inside = (columns + left > 0) & (columns + left < width - 1)
        whole.append(bool((inside & (rows + top > 0) & (rows + top < height - 1)).all()))
    return np.array(whole)
