"""The Flask application over one instrument and its records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from flask import Flask

from webui import api, context, control, pages, problems, stream, trust
from webui.catalogue import LANGUAGE, duration, label, text
from webui.stream import StreamGate

if TYPE_CHECKING:
    from device.instrument import Instrument
    from device.records.records import Records
    from device.settings import Settings

LARGEST_BODY_BYTES: Final = 64 * 1024


def create_app(instrument: Instrument, records: Records, settings: Settings) -> Flask:
    """Build the application.

    It gives full control only to requests marked by :func:`webui.trust.behind` as coming through
    the built-in screen's listener; every other request may only read results with the token of
    ``settings.web``.
    """
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY_BYTES
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True
    app.jinja_env.globals.update(t=text, label=label, duration=duration, language=LANGUAGE)
    context.install(app, context.Context(instrument, records, settings, StreamGate()))
    trust.install(app, settings.web)
    problems.install(app)
    for blueprint in (api.blueprint, control.blueprint, stream.blueprint, pages.blueprint):
        app.register_blueprint(blueprint)
    return app
