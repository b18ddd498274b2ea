"""A gigapixel of 750 tiles: drawn at every step without much memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

TILES = 750
MOST_MB = 300.0

# A process of its own, whose peak is that of the mosaic and of nothing else.
DRAW = """
import json, sys
from pathlib import Path
import cv2
import numpy as np
from device.analysis.staining import VirtualStain
from device.mosaic.layout import MosaicLayout, TileGeometry
from device.mosaic.pictures import Look, MosaicPictures, Piece
from device.records.records import Records


def peak_mb():
    # Not ru_maxrss, which a process inherits from the one that started it.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


cv2.setNumThreads(1)
tiles = int(sys.argv[2])
records = Records(Path(sys.argv[1]) / "records.db")
rng = np.random.default_rng(1)
images = []
for _ in range(5):
    image = np.full((1040, 1392), 220, np.uint8)
    for x, y in rng.integers(0, (1392, 1040), (300, 2)):
        cv2.circle(image, (int(x), int(y)), 22, 150, -1)
    images.append(cv2.GaussianBlur(image, (0, 0), 3.0))
corners = [(200 + 1247 * (i % 30), 200 + 895 * (i // 30)) for i in range(tiles)]
for i in range(tiles):
    records.tile_pictures.save(1, i, images[i % 5])
layout = MosaicLayout(
    TileGeometry(0.165, 1040, 1392, 145), 0.0, 0.0, 38_400, 23_200,
    np.arange(tiles), np.array(corners),
)
mosaics = MosaicPictures(records, VirtualStain())
kept = records.tile_pictures.kept(1)
before = peak_mb()
drawn = 0
for step in (128, 64, 32, 16, 8, 4, 2, 1):
    across, down = -(-layout.width_px // (512 * step)), -(-layout.height_px // (512 * step))
    for number in range(min(60, across * down)):
        place = number * max(1, across * down // 60)
        piece = Piece(1, layout, Look.GRAY, step, place % across, place // across, kept)
        drawn += len(mosaics.jpeg(piece)) > 0
print(json.dumps({"drawn": drawn, "grown_mb": peak_mb() - before, "peak_mb": peak_mb()}))
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_mosaic_of_750_tiles_takes_less_than_300_mb(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DRAW, str(tmp_path), str(TILES)],
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found["drawn"] > 250
    assert found["peak_mb"] < MOST_MB
