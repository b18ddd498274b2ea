"""The tile analysed last, for who watches the scan."""

from __future__ import annotations

from threading import Lock

import cv2

from device.analysis.tile_analyzer import TileAnalysis


class LatestTile:
    """The picture of the tile analysed last; written by the analysis, read by anyone."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._analysis: TileAnalysis | None = None

    def put(self, analysis: TileAnalysis | None) -> None:
        """Replace the picture."""
        with self._lock:
            self._analysis = analysis

    @property
    def sequence(self) -> int | None:
        """Sequence number of the tile, or None."""
        with self._lock:
            return self._analysis.sequence if self._analysis is not None else None

    @property
    def analysis(self) -> TileAnalysis | None:
        """What was found in the tile, with its preview, or None."""
        with self._lock:
            return self._analysis

    def png(self) -> bytes | None:
        """Return the normalised tile at a quarter of its size as PNG, or None."""
        analysis = self.analysis
        if analysis is None:
            return None
        return bytes(cv2.imencode(".png", analysis.preview)[1])
