"""The driver over the producer that came with some versions of the GenICam libraries."""

from __future__ import annotations

from pathlib import Path

import pytest

from hal.camera.genicam.driver import GenicamCamera
from hal.clock import SystemClock
from hal.config import CameraConfig
from hal.errors import CameraError


@pytest.fixture
def foreign_producer(gentl: None) -> Path:
    import genicam

    folders = [Path(folder) for folder in genicam.__path__]
    found = sorted(path for folder in folders for path in folder.rglob("*.cti"))
    if not found:
        pytest.skip(
            "The installed GenICam libraries bring no simulated producer; "
            "1.4.0, 1.5.0 and 1.6.0 do."
        )
    return found[0]


def test_its_cameras_are_found_and_what_they_lack_is_named(foreign_producer: Path) -> None:
    config = CameraConfig(driver="genicam", producer=str(foreign_producer), pixel_format="Mono8")
    found = GenicamCamera(config, SystemClock()).find()
    assert found
    camera = GenicamCamera(config.model_copy(update={"serial": found[0].serial}), SystemClock())
    # They have no exposure time or no trigger, or smaller images.
    with pytest.raises(CameraError) as caught:
        camera.open()
    assert caught.value.error_code in ("CAMERA-FEATURE", "CAMERA-RANGE")
