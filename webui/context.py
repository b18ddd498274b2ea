"""What the views of one application work on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from flask import Flask, current_app

if TYPE_CHECKING:
    from device.analysis.staining import VirtualStain
    from device.instrument import Instrument
    from device.mosaic.pictures import MosaicPictures
    from device.mosaic.staining import MosaicStainer
    from device.records.records import Records
    from device.settings.file import Settings
    from webui.stream_gate import StreamGate

_KEY: Final = "leukolux"


@dataclass(frozen=True)
class Context:
    """The instrument, its records and settings, the event streams' gate, stain and mosaics."""

    instrument: Instrument
    records: Records
    settings: Settings
    streams: StreamGate
    stain: VirtualStain
    mosaics: MosaicPictures
    stainer: MosaicStainer


def install(app: Flask, parts: Context) -> None:
    """Give ``parts`` to the views of ``app``."""
    app.extensions[_KEY] = parts


def parts_of(app: Flask) -> Context:
    """Return the parts of ``app``."""
    return cast("Context", app.extensions[_KEY])


def context() -> Context:
    """Return the parts of the application that handles the current request."""
    return parts_of(current_app)
