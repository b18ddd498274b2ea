"""The guided pages of a calibration."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from device.calibration.steps.catalogue import STEP_IDS
from device.calibration.steps.slide_corners import CORNERS
from webui.context import context
from webui.errors import NotFoundError
from webui.views.calibration import calibration_view
from webui.views.status import status_view_of

JOGS_UM = (2000, 200)

blueprint = Blueprint("calibration", __name__)


@blueprint.get("/calibration")
def overview() -> ResponseReturnValue:
    """All steps with what is valid, and the way into a session."""
    return _render("calibration.html")


@blueprint.get("/calibration/next")
def following() -> ResponseReturnValue:
    """Go to the step that is to be done next, or back to the overview."""
    step = context().instrument.calibration.next_step()
    if step is None:
        return redirect(url_for("calibration.overview"))
    return redirect(url_for("calibration.step", step_id=step.id))


@blueprint.get("/calibration/<step_id>")
def step(step_id: str) -> ResponseReturnValue:
    """One step: what to put in, the value with its limits, accept or repeat."""
    if step_id not in STEP_IDS:
        raise NotFoundError("WEB-CALIBRATION-STEP", step_id=step_id[:40])
    return _render("calibration_step.html", step_id=step_id)


def _render(template: str, step_id: str = "", **values: Any) -> str:
    parts = context()
    # Before the steps: its version must not be newer than what the page shows of them.
    status = parts.instrument.status()
    service = parts.instrument.calibration
    view = calibration_view(service, parts.settings.calibration)
    shown = next((step for step in view["steps"] if step["id"] == step_id), None)
    return render_template(
        template,
        view=status_view_of(parts, status),
        status=status,
        calibration=view,
        step=shown,
        number=STEP_IDS.index(step_id) + 1 if step_id else 0,
        corners=CORNERS,
        jogs_um=JOGS_UM,
        has_picture=service.picture is not None,
        **values,
    )
