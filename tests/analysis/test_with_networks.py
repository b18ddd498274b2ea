"""The shipped networks in the whole analysis, on simulated donors that no training saw."""

import cv2
import numpy as np
import pytest

from device.analysis.external.images import analyze_images
from device.laboratory.donors import evaluate_donor, unseen_donors
from device.laboratory.scores import Evaluation
from device.settings.sections import AnalysisConfig
from hal.factory import virtual_microscope
from hal.sim.dataset import write_dataset
from models.runtime import load_models


@pytest.fixture(scope="module")
def models():
    return load_models()


def evaluation(models, donors, tiles, enrichment):
    return Evaluation(
        tuple(
            evaluate_donor(
                name, virtual_microscope(name, enrichment), models, AnalysisConfig(), tiles, seed
            )
            for seed, name in enumerate(donors)
        )
    )


@pytest.mark.slow
def test_a_few_tiles_of_an_unseen_donor(models):
    scores = evaluation(models, ["sickle:3900"], tiles=2, enrichment=40.0)
    assert scores.found.n > 20
    assert scores.found.k >= 0.95 * scores.found.n
    assert scores.five_part.k >= 0.85 * scores.five_part.n
    dice_cell, dice_nucleus = scores.dice()
    assert dice_cell > 0.95
    assert dice_nucleus > 0.92


def test_crop_of_one_simulated_cell_gives_that_cell(models, tmp_path):
    microscope = virtual_microscope("healthy:3901", 20.0)
    x_um, y_um = 37_000.0, 44_000.0
    field = microscope.transmission(x_um, y_um, microscope.smear.focus_z_um(x_um, y_um))
    truth = next(
        cell
        for cell in microscope.truth(x_um, y_um).cells
        if cell.kind == "neutrophil" and min(cell.bbox_px) > 40 and not cell.cut
    )
    left, top = (truth.bbox_px[i] + truth.bbox_px[i + 2] - 100 >> 1 for i in (0, 1))
    crop = np.rint(np.clip(field[top : top + 100, left : left + 100] * 200, 0, 255))
    assert cv2.imwrite(str(tmp_path / "crop.png"), crop.astype(np.uint8))
    outcome = analyze_images(
        [tmp_path / "crop.png"], pixel_um=0.165, out=tmp_path / "out", models=models
    )
    assert outcome.cells == 1
    assert outcome.differential.shares["neutrophil"].n == 1


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_figures_that_the_instrument_is_held_to(models):
    scores = evaluation(models, unseen_donors(6, 3910), tiles=25, enrichment=8.0)
    assert scores.found.k >= 0.97 * scores.found.n
    assert scores.five_part.k >= 0.90 * scores.five_part.n
    assert scores.alive_or_dead.k >= 0.95 * scores.alive_or_dead.n
    assert scores.interval_coverage.k >= 0.90 * scores.interval_coverage.n
    dice_cell, dice_nucleus = scores.dice()
    assert dice_cell >= 0.95
    assert dice_nucleus >= 0.92


@pytest.mark.slow
def test_simulated_folder_is_counted_as_its_truth(models, tmp_path):
    write_dataset("eosinophilia:3920", 24, tmp_path / "scan")
    outcome = analyze_images(
        [tmp_path / "scan"], pixel_um=None, out=tmp_path / "out", models=models
    )
    rows = (tmp_path / "scan" / "truth" / "cells.csv").read_text().splitlines()[1:]
    assert outcome.failed == ()
    assert abs(outcome.cells - len(rows)) <= max(2, 0.2 * len(rows))
