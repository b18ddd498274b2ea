"""Which browser the tests and the pictures of the screens use."""

from __future__ import annotations

import shutil

# The shell draws the same pages in less time.
CHROMIUM = shutil.which("chromium-headless-shell") or shutil.which("chromium")
