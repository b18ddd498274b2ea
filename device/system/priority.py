"""Threads that give way to the counting."""

from __future__ import annotations

import os
import sys
from threading import get_native_id
from typing import Final

_NICENESS: Final = 10


def give_way() -> None:
    """Lower the priority of the calling thread."""
    if sys.platform == "linux":  # where a thread has a priority of its own
        os.setpriority(os.PRIO_PROCESS, get_native_id(), _NICENESS)
