"""What the views of one application work on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from flask import Flask, current_app

from webui.views.status import status_view

if TYPE_CHECKING:
    from device.analysis.staining import VirtualStain
    from device.instrument import Instrument
    from device.records.records import Records
    from device.settings.file import Settings
    from webui.api.stream import StreamGate

_KEY: Final = "leukolux"


@dataclass(frozen=True)
class Context:
    """The instrument, its records, its settings, the event streams' gate, the virtual stain."""

    instrument: Instrument
    records: Records
    settings: Settings
    streams: StreamGate
    stain: VirtualStain

    def view(self) -> dict[str, Any]:
        """Return the status as the screen shows it, its times in seconds of the person's watch."""
        status = self.instrument.status()
        simulated = status.donor is not None
        return status_view(status, speed=self.settings.simulation.speed if simulated else 1.0)


def install(app: Flask, parts: Context) -> None:
    """Give ``parts`` to the views of ``app``."""
    app.extensions[_KEY] = parts


def parts_of(app: Flask) -> Context:
    """Return the parts of ``app``."""
    return cast("Context", app.extensions[_KEY])


def context() -> Context:
    """Return the parts of the application that handles the current request."""
    return parts_of(current_app)
