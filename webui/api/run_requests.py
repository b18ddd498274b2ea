"""The API of the sample and the run: enter a sample, start, pause, resume, abort, acknowledge."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from flask import Blueprint, Response, jsonify, request, url_for
from flask.typing import ResponseReturnValue

from webui.context import context
from webui.errors import NotFoundError
from webui.parameters import json_body, sample_changes

if TYPE_CHECKING:
    from device.instrument import Instrument

blueprint = Blueprint("run_requests", __name__, url_prefix="/api/v1")

_REQUESTS: Final[Mapping[str, Callable[[Instrument], None]]] = {
    "pause": lambda instrument: instrument.pause(),
    "resume": lambda instrument: instrument.resume(),
    "abort": lambda instrument: instrument.abort(),
    "acknowledge": lambda instrument: instrument.acknowledge(),
}


@blueprint.post("/runs")
def start() -> ResponseReturnValue:
    """Start a run of the sample in the body; 202 with the run's address.

    The body holds everything that the run is stored with: ``sample_id``, ``operator`` and
    ``control_lot``.  A run with a control lot is a run of a control slide, and no result of a
    person.  A screen sends what it shows.

    409 with the unmet conditions as remedy if Start is not possible, and 409 if there was no
    answer in time; no run begins then.
    """
    sample = sample_changes(json_body(request))
    run_id = context().instrument.start(
        sample.get("sample_id", ""), sample.get("control_lot"), sample.get("operator", "")
    )
    link = url_for("api.run", run_id=run_id)
    response = jsonify(run_id=run_id, link=link, status=url_for("api.status"))
    response.headers["Location"] = link
    return response, HTTPStatus.ACCEPTED


@blueprint.post("/sample")
def enter_sample() -> Response:
    """Change the sample that waits for Start; answer with the whole of it.

    ``sample_id``, ``operator`` and ``control_lot`` (null for a sample of a person) are entered;
    ``draft_sample_id`` and ``draft_operator`` are text that is still being typed, or null to
    discard it.  What the body leaves out stays.

    400 if something cannot be used: it stays as a draft, and the panel cannot start a run until it
    is replaced.
    """
    entered = context().instrument.sample.enter(**sample_changes(json_body(request)))
    return jsonify(asdict(entered))


@blueprint.post("/requests/<name>")
def ask(name: str) -> ResponseReturnValue:
    """Ask the instrument for pause, resume, abort or acknowledge.

    202: it is requested; the status shows when it is done.  409 if it does not fit the state.
    """
    if name not in _REQUESTS:
        raise NotFoundError("WEB-RUN-REQUEST", name=name[:40], requests=", ".join(_REQUESTS))
    _REQUESTS[name](context().instrument)
    return jsonify(requested=name, status=url_for("api.status")), HTTPStatus.ACCEPTED
