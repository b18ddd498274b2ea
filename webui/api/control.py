"""The unsafe half of the API: start, pause, resume, abort, acknowledge."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from flask import Blueprint, jsonify, request, url_for
from flask.typing import ResponseReturnValue

from webui.context import context
from webui.errors import NotFoundError
from webui.parameters import control_lot, sample_id

if TYPE_CHECKING:
    from device.instrument import Instrument

blueprint = Blueprint("control", __name__, url_prefix="/api/v1")

_REQUESTS: Final[Mapping[str, Callable[[Instrument], None]]] = {
    "pause": lambda instrument: instrument.pause(),
    "resume": lambda instrument: instrument.resume(),
    "abort": lambda instrument: instrument.abort(),
    "acknowledge": lambda instrument: instrument.acknowledge(),
}


@blueprint.post("/runs")
def start() -> ResponseReturnValue:
    """Start a run of the sample in the body; 202 with the run's address.

    With ``control_lot`` it is a run of a control slide, and no result of a person.

    409 with the unmet conditions as remedy when Start is not possible.
    """
    entered = sample_id(request)
    run_id = context().instrument.start(entered, control_lot(request))
    link = url_for("api.run", run_id=run_id)
    response = jsonify(run_id=run_id, link=link, status=url_for("api.status"))
    response.headers["Location"] = link
    return response, HTTPStatus.ACCEPTED


@blueprint.post("/sample")
def enter_sample() -> ResponseReturnValue:
    """Keep the sample id for the start button on the panel."""
    entered = sample_id(request)
    context().instrument.enter_sample(entered)
    return jsonify(sample_id=entered)


@blueprint.post("/control/<name>")
def control(name: str) -> ResponseReturnValue:
    """Ask the instrument for pause, resume, abort or acknowledge.

    202: it is asked for, the status tells when it is done.  409 when it does not fit the state.
    """
    if name not in _REQUESTS:
        raise NotFoundError(f"The request {name[:40]!r}")
    _REQUESTS[name](context().instrument)
    return jsonify(requested=name, status=url_for("api.status")), HTTPStatus.ACCEPTED
