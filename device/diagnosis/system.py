"""The state of the computer: disk, memory, load, temperatures, devices, kernel, clock."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

DMESG_TIMEOUT_S: Final = 5.0
DMESG_LINES: Final = 500
_RELEVANT = re.compile(
    r"usb|tty|serial|gpio|i2c|thermal|throttl|voltage|oom|out of memory|segfault|mmc|nvme|ata\d|"
    r"ext4|i/o error|watchdog|hung|rtc|clock|leukolux",
    re.IGNORECASE,
)
# How somebody has called a telephone or a stick of theirs is nobody's business.
_PERSONAL = re.compile(r"Product:|Manufacturer:|SerialNumber:|hostname|command line", re.IGNORECASE)
_MEMORY = ("MemTotal", "MemAvailable", "SwapTotal", "SwapFree")
_USB = ("idVendor", "idProduct", "bDeviceClass", "speed", "version")


def system_state(records: Path, root: Path = Path("/")) -> dict[str, Any]:
    """Return the state of the computer; what cannot be read says why instead.

    The name of the computer is left out, and so are those of what is plugged in.

    Args:
        records: folder of the records, whose disk is looked at.
        root: of the file system that is looked at.
    """
    looks: dict[str, Callable[[], Any]] = {
        "disk": lambda: _disk(records),
        "memory_kb": lambda: _memory_kb(root),
        "load": lambda: {"average": os.getloadavg(), "cores": os.cpu_count()},
        "uptime_s": lambda: float(_text(root / "proc/uptime").split()[0]),
        "temperatures_c": lambda: _temperatures_c(root),
        "usb": lambda: _usb(root),
        "device_files": lambda: _device_files(root),
        "clock": lambda: _clock(root),
        "kernel_log": _kernel_log,
    }
    return {name: _tried(look) for name, look in looks.items()}


def _tried(look: Callable[[], Any]) -> Any:
    try:
        return look()
    except (OSError, ValueError, LookupError, subprocess.SubprocessError) as error:
        return f"not readable: {type(error).__name__}: {error}"


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace").strip()


def _disk(records: Path) -> dict[str, int | bool]:
    """Return the disk of the records, or of the nearest folder above that is there."""
    places = (records.absolute(), *records.absolute().parents)
    there = next(place for place in places if place.is_dir())
    usage = shutil.disk_usage(there)
    return {
        "total_mb": usage.total // 1_000_000,
        "free_mb": usage.free // 1_000_000,
        "records_exist": records.is_dir(),
        "records_writable": os.access(records, os.W_OK),
    }


def _memory_kb(root: Path) -> dict[str, int]:
    lines = (line.split(":") for line in _text(root / "proc/meminfo").splitlines())
    return {name: int(value.split()[0]) for name, value in lines if name in _MEMORY}


def _temperatures_c(root: Path) -> dict[str, float | str]:
    return {
        zone.name: _tried(partial(_temperature_c, zone))
        for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*"))
    }


def _temperature_c(zone: Path) -> float:
    return int(_text(zone / "temp")) / 1000.0


def _usb(root: Path) -> dict[str, dict[str, str]]:
    return {
        device.name: {name: _text(device / name) for name in _USB if (device / name).is_file()}
        for device in sorted((root / "sys/bus/usb/devices").glob("*"))
        if (device / "idVendor").is_file()
    }


def _device_files(root: Path) -> list[str]:
    names = ("ttyUSB*", "ttyACM*", "ttyTHS*", "ttyAMA*", "gpiochip*", "serial/by-path/*")
    return [
        str(path.relative_to(root))
        for pattern in names
        for path in sorted((root / "dev").glob(pattern))
    ]


def _clock(root: Path) -> dict[str, Any]:
    return {
        "utc": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "monotonic_s": time.monotonic(),
        "synchronised": (root / "run/systemd/timesync/synchronized").exists(),
        "hardware_clock": (root / "dev/rtc0").exists(),
    }


def _kernel_log() -> list[str]:
    dmesg = shutil.which("dmesg")
    if dmesg is None:
        raise FileNotFoundError("there is no dmesg")
    done = subprocess.run(  # noqa: S603 (a fixed command)
        [dmesg], capture_output=True, timeout=DMESG_TIMEOUT_S, check=False
    )
    if done.returncode != 0:
        raise PermissionError(done.stderr.decode("utf-8", "replace").strip())
    lines = done.stdout.decode("utf-8", "replace").splitlines()
    return [line for line in lines if _RELEVANT.search(line) and not _PERSONAL.search(line)][
        -DMESG_LINES:
    ]
