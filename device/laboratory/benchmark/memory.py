"""How much memory this process has had."""

from __future__ import annotations

from pathlib import Path


def peak_memory_mb() -> float:
    """Return the largest resident memory so far, in 1e6 bytes.

    From the kernel's ``VmHWM``: what ``getrusage`` reports begins at the peak of the process that
    started this one.
    """
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError("the kernel reports no peak memory")
