"""What goes into the archive, and in which order it is gathered.

What is only read comes first, because the self-test opens the devices and is recorded itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from device.assembly import DATABASE_NAME, recorder_folder, records_folder
from device.diagnosis.archive import Part, write_archive
from device.diagnosis.history import history
from device.diagnosis.system import system_state
from device.diagnosis.versions import versions
from device.settings.file import Settings, describe_settings
from hal.errors import LeukoluxError
from hal.recorder.recording import kept_files, ring_files

REMOVED: Final = "(removed)"
_SECRETS: Final = ("token", "password", "secret", "key")
README: Final = """Leukolux: diagnosis of an instrument.  Research use only.

It holds no sample ids, no names, no pictures and no results of cells.  Samples have numbers that
mean nothing elsewhere; texts of the records were left out, and so were secrets of the settings.

versions.json   program, Python, libraries, networks with hashes, system, kernel, board
settings.toml   effective settings
events.json     last runs and events of the records
system.json     disk, memory, load, temperatures, devices, clock, lines of the kernel's log
recorder/       what went over the wires: wires-*.jsonl the last minutes, kept-*.jsonl what was put
                aside at a failure or when somebody asked; JSON lines
self-test.json  outcome of the self-test, or why it was left out

NAME.failed.txt stands for a part that could not be made, and says why.
`leukolux diagnose --replay FILE` leads the stage's driver through a file of recorder/.
"""


@dataclass(frozen=True)
class Diagnosis:
    """What to look at.

    Attributes:
        settings: effective settings; the defaults if they could not be read.
        settings_error: why they could not be read.
        self_test: does it and returns its outcome as JSON-compatible values.
    """

    settings: Settings
    settings_error: LeukoluxError | None
    self_test: Callable[[], dict[str, Any]]

    def write(self, path: Path) -> list[str]:
        """Write the archive; return the names of the parts that failed.

        Raises:
            InputError: it cannot be written.
        """
        return write_archive(path, self._parts())

    def _parts(self) -> Iterator[Part]:
        records = records_folder(self.settings)
        yield Part("README.txt", README.encode)
        yield Part("versions.json", lambda: _json(versions()))
        yield Part("settings.toml", self._settings)
        yield Part("events.json", lambda: _json(history(records / DATABASE_NAME)))
        yield Part("system.json", lambda: _json(system_state(records)))
        folder = recorder_folder(self.settings)
        for file in [*kept_files(folder), *ring_files(folder)]:
            yield Part(f"recorder/{file.name}", partial(_read, file))
        yield Part("self-test.json", lambda: _json(self.self_test()))

    def _settings(self) -> bytes:
        if self.settings_error is not None:
            raise self.settings_error
        return _without_home(describe_settings(without_secrets(self.settings))).encode()


def without_secrets(settings: Settings) -> Settings:
    """Return ``settings`` with every secret that is set replaced by a mark."""
    sections: dict[str, Any] = {}
    for name in type(settings).model_fields:
        section = getattr(settings, name)
        found = {
            key: REMOVED
            for key in type(section).model_fields
            if key.endswith(_SECRETS) and getattr(section, key)
        }
        sections[name] = section.model_copy(update=found)
    return settings.model_copy(update=sections)


def _without_home(text: str) -> str:
    """Return ``text`` without the name of the user, whose folder a path may begin with."""
    return text.replace(str(Path.home()) + "/", "~/")


def _read(file: Path) -> bytes:
    return _without_home(file.read_bytes().decode("utf-8", "surrogateescape")).encode(
        "utf-8", "surrogateescape"
    )


def _json(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, indent=1) + "\n").encode()
