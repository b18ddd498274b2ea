"""Tiles in a folder, so that a fresh process can analyse them without rendering them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from device.analysis.flatfield import Background
from device.analysis.tile import Tile

_BACKGROUND = "background.npz"


class StoredTiles:
    """Tiles and their background; each pass over them reads them again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._paths = sorted(folder.glob("tile-*.npz"))

    def __len__(self) -> int:
        return len(self._paths)

    def __iter__(self) -> Iterator[Tile]:
        for path in self._paths:
            with np.load(path) as file:
                single = {name: file[name].item() for name in file.files if name != "pixels"}
                yield Tile(pixels=file["pixels"], **single)

    @cached_property
    def background(self) -> Background:
        """Blank glass under the same light."""
        with np.load(self.folder / _BACKGROUND) as file:
            return Background(file["mean"], file["full_scale"].item(), file["dark_level"].item())


def store(folder: Path, background: Background, tiles: Iterable[Tile]) -> StoredTiles:
    """Write tiles with their background into a folder, one at a time."""
    np.savez(
        folder / _BACKGROUND,
        mean=background.mean,
        full_scale=background.full_scale,
        dark_level=background.dark_level,
    )
    names = [field.name for field in fields(Tile)]
    for tile in tiles:
        values: dict[str, Any] = {name: np.asarray(getattr(tile, name)) for name in names}
        np.savez(folder / f"tile-{tile.sequence:05d}.npz", **values)
    return StoredTiles(folder)
