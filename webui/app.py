"""The Flask application over one instrument and its records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from flask import Flask
from werkzeug.routing import IntegerConverter

from device.analysis.staining import VirtualStain
from device.mosaic.pictures import MosaicPictures
from device.mosaic.staining import MosaicStainer
from hal.errors import LeukoluxError
from webui import context, problems, trust
from webui.api import calibration as calibration_api
from webui.api import mosaic as mosaic_api
from webui.api import quality as quality_api
from webui.api import results as api
from webui.api import run_requests, stream
from webui.api import stain as stain_api
from webui.catalogue import LANGUAGE, duration, label, text
from webui.pages import calibration as calibration_pages
from webui.pages import instrument as pages
from webui.pages import quality as quality_pages
from webui.stream_gate import StreamGate

if TYPE_CHECKING:
    from device.instrument import Instrument
    from device.records.records import Records
    from device.settings.file import Settings

LARGEST_BODY_BYTES: Final = 64 * 1024


class _Number(IntegerConverter):
    """A number in an address, in the digits 0 to 9 only."""

    regex = "[0-9]+"


def create_app(
    instrument: Instrument,
    records: Records,
    settings: Settings,
    stain: VirtualStain | None = None,
) -> Flask:
    """Build the application.

    It gives full control only to requests marked by :func:`webui.trust.behind` as coming through
    the built-in screen's listener; every other request may only read results with the token of
    ``settings.web``.

    Args:
        instrument: what is shown and controlled.
        records: where results are read from.
        settings: of instrument and web.
        stain: what colours pictures; by default the network that came with the software.
    """
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY_BYTES
    app.url_map.converters["int"] = _Number
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True
    app.jinja_env.globals.update(t=text, label=label, duration=duration, language=LANGUAGE)
    app.jinja_env.globals["no_connection"] = LeukoluxError("WEB-CONNECTION")
    stain = stain if stain is not None else VirtualStain()
    context.install(app, parts_with(instrument, records, settings, stain))
    trust.install(app, settings.web)
    problems.install(app)
    for part in (
        *(api, calibration_api, mosaic_api, quality_api, stain_api, run_requests, stream),
        *(pages, calibration_pages, quality_pages),
    ):
        app.register_blueprint(part.blueprint)
    return app


def parts_with(
    instrument: Instrument, records: Records, settings: Settings, stain: VirtualStain
) -> context.Context:
    """Return what the views work on."""
    return context.Context(
        instrument,
        records,
        settings,
        StreamGate(),
        stain,
        MosaicPictures(records, stain),
        MosaicStainer(records, stain),
    )
