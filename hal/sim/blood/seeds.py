"""Random streams addressed by a key, so that nothing depends on the order of access."""

from __future__ import annotations

import zlib

import numpy as np


def generator(*key: int | str) -> np.random.Generator:
    """Return the random stream that belongs to ``key`` (integers of any sign and words)."""
    words = [zlib.crc32(part.encode()) if isinstance(part, str) else part for part in key]
    return np.random.Generator(
        np.random.SFC64(np.random.SeedSequence([word & 0xFFFF_FFFF_FFFF_FFFF for word in words]))
    )
