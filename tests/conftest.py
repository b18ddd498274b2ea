"""Settings of the whole suite."""

from __future__ import annotations

from hypothesis import settings

# A law does not become wrong on a busy machine.
settings.register_profile("leukolux", deadline=None)
settings.load_profile("leukolux")
