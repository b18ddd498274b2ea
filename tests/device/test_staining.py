"""Virtual stain on demand: opened once, one at a time, made once, re-tinted where it belongs."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from device.analysis import staining
from device.analysis.candidates import cut
from device.analysis.staining import CellView, StainBusyError, VirtualStain
from device.results.cell import THUMBNAIL_PX
from hal.errors import LeukoluxError
from models.errors import ModelError

Image = NDArray[np.uint8]


class ThreeTones:
    """Dark is violet, gray is pale blue, bright is white; notes how often and how many at once."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int, bool]] = []
        self.at_once = self.most_at_once = 0
        self.gate = threading.Event()
        self.gate.set()
        self.begun = threading.Event()

    def stain(self, image: Image, *, wide_field: bool = False) -> Image:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.begun.set()
        assert self.gate.wait(10.0)
        self.calls.append((*image.shape, wide_field))
        self.at_once -= 1
        tones = np.array([(120, 60, 160), (205, 208, 235), (250, 248, 250)], np.uint8)
        return np.asarray(tones[np.digitize(image, (120, 180))], np.uint8)


def encoded(image: Image, suffix: str = ".png") -> bytes:
    return bytes(cv2.imencode(suffix, image)[1])


def colours_of(data: bytes) -> Image:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def a_field(shape: tuple[int, int] = (300, 400), at: tuple[int, int] = (200, 150)) -> Image:
    image = np.full(shape, 220, np.uint8)
    cv2.circle(image, at, 40, 140, -1)
    cv2.circle(image, at, 20, 100, -1)
    return image


def a_mask(image: Image, x_px: float, y_px: float) -> bytes:
    labels = np.select([image < 120, image < 180], [2, 1], 0).astype(np.uint8)
    return encoded(cut(labels, x_px, y_px, THUMBNAIL_PX, outside=0))


def view(image: Image, x_px: float, y_px: float, kind: str | None) -> CellView:
    return CellView(x_px, y_px, a_mask(image, x_px, y_px), kind)


def thumbnail() -> tuple[bytes, CellView]:
    image = a_field((THUMBNAIL_PX, THUMBNAIL_PX), (80, 80))
    return encoded(image), view(image, 80, 80, "eosinophil")


def test_the_network_is_opened_for_the_first_picture_and_only_then() -> None:
    opened: list[ThreeTones] = []

    def load() -> ThreeTones:
        opened.append(ThreeTones())
        return opened[-1]

    stain = VirtualStain(load)
    assert opened == []
    gray, cell = thumbnail()
    picture = colours_of(stain.cell_png(gray, cell))
    assert picture.shape == (THUMBNAIL_PX, THUMBNAIL_PX, 3)
    stain.tile_jpeg(encoded(a_field(), ".jpg"), [])
    assert len(opened) == 1
    assert opened[0].calls == [(160, 160, False), (300, 400, True)]


def test_a_missing_network_is_told_and_tried_again() -> None:
    answers: list[Any] = [ModelError("MODEL-STAINER-NOT-LISTED"), ThreeTones()]

    def load() -> ThreeTones:
        answer = answers.pop(0)
        if isinstance(answer, LeukoluxError):
            raise answer
        return answer  # type: ignore[no-any-return]

    stain = VirtualStain(load)
    problem = stain.problem()
    assert isinstance(problem, ModelError)
    assert problem.error_code == "MODEL-STAINER-NOT-LISTED"
    assert stain.problem() is None


def test_a_picture_is_made_once_and_again_when_anything_in_it_changes() -> None:
    colours = ThreeTones()
    stain = VirtualStain(lambda: colours)
    gray, cell = thumbnail()
    assert stain.cell_png(gray, cell) == stain.cell_png(gray, cell)
    assert len(colours.calls) == 1
    other = CellView(cell.x_px, cell.y_px, cell.mask_png, "lymphocyte")
    assert stain.tag(gray, [cell]) != stain.tag(gray, [other])
    assert stain.cell_png(gray, cell) != stain.cell_png(gray, other)
    assert len(colours.calls) == 2


def test_pictures_used_least_are_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    colours = ThreeTones()
    gray, cell = thumbnail()
    cells = [CellView(80 + i, 80, cell.mask_png, None) for i in range(3)]
    size = len(VirtualStain(lambda: colours).cell_png(gray, cells[0]))
    monkeypatch.setattr(staining, "CACHE_BYTES", int(2.5 * size))
    stain = VirtualStain(lambda: colours)
    for i in (0, 1, 0, 2, 0):
        stain.cell_png(gray, cells[i])
    assert len(colours.calls) == 1 + 3
    stain.cell_png(gray, cells[1])
    assert len(colours.calls) == 1 + 4


def test_one_picture_is_made_at_a_time_and_none_twice() -> None:
    colours = ThreeTones()
    stain = VirtualStain(lambda: colours)
    gray, cell = thumbnail()
    wanted = [CellView(80 + i % 3, 80, cell.mask_png, None) for i in range(12)]
    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(lambda view: stain.cell_png(gray, view), wanted))
    assert len({bytes(picture) for picture in made}) == 1
    assert len(colours.calls) == 3
    assert colours.most_at_once == 1


def test_who_waits_too_long_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staining, "BUSY_S", 0.05)
    colours = ThreeTones()
    stain = VirtualStain(lambda: colours)
    colours.gate.clear()
    gray, cell = thumbnail()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(stain.cell_png, gray, cell)
        assert colours.begun.wait(10.0)
        with pytest.raises(StainBusyError):
            stain.tile_jpeg(gray, [])
        colours.gate.set()
        assert first.result(10.0)


@pytest.mark.parametrize("at", [(200, 150), (12, 150), (395, 290)])
def test_a_cell_of_known_class_is_retinted_in_its_place_and_nothing_else(
    at: tuple[int, int],
) -> None:
    image = a_field(at=at)
    gray = encoded(image)
    stain = VirtualStain(ThreeTones)
    plain = colours_of(stain.tile_jpeg(gray, [])).astype(int)
    same = colours_of(stain.tile_jpeg(gray, [view(image, *at, None)])).astype(int)
    tinted = colours_of(stain.tile_jpeg(gray, [view(image, *at, "eosinophil")])).astype(int)
    assert np.array_equal(plain, same)
    changed = np.abs(tinted - plain).max(axis=2) > 12
    assert changed.sum() > 500
    far = np.hypot(*(np.indices(image.shape) - np.array(at[::-1])[:, None, None])) > 60
    assert not changed[far].any()


def test_what_is_no_picture_is_a_defect() -> None:
    with pytest.raises(ValueError, match="picture"):
        VirtualStain(ThreeTones).tile_jpeg(b"\xff\xd8 no", [])
