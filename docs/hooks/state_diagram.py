"""The states of the instrument as a picture and as a table, from the table of transitions."""

from __future__ import annotations

import ast
import inspect
import math
from itertools import pairwise
from typing import Final

from markup import table

from device.engine.state.states import LIT, TRANSITIONS, Event, State

Point = tuple[float, float]

WIDTH_PX: Final = 860
HEIGHT_PX: Final = 420
BOX_PX: Final = (104.0, 32.0)
PLACES: Final[dict[State, Point]] = {
    State.BOOTING: (60, 40),
    State.SELF_TEST: (60, 150),
    State.IDLE: (235, 150),
    State.CHECKING: (165, 320),
    State.CALIBRATING: (297, 320),
    State.PREPARING: (400, 150),
    State.SCANNING: (590, 150),
    State.FINISHING: (760, 150),
    State.COMPLETE: (760, 40),
    State.PAUSED: (420, 320),
    State.PAUSING: (590, 320),
    State.ABORTING: (760, 320),
    State.FAULT: (60, 240),
    State.SHUTTING_DOWN: (60, 400),
}
BENDS: Final[dict[tuple[State, State], Point]] = {
    (State.COMPLETE, State.IDLE): (-270, -60),
    (State.PREPARING, State.FINISHING): (0, -120),
    (State.PAUSED, State.ABORTING): (0, 130),
    (State.ABORTING, State.COMPLETE): (140, 0),
    (State.PREPARING, State.PAUSED): (-46, 0),
    (State.PAUSED, State.PREPARING): (30, 0),
    (State.IDLE, State.CHECKING): (-40, 0),
    (State.IDLE, State.CALIBRATING): (-20, 0),
}
"""How far the middle of an arrow is pulled away from the straight line, twice over."""

LABELS: Final[dict[tuple[State, State], float]] = {
    (State.PREPARING, State.PAUSED): 0.62,
    (State.PREPARING, State.PAUSING): 0.66,
    (State.PREPARING, State.ABORTING): 0.36,
    (State.SCANNING, State.PAUSED): 0.7,
    (State.SCANNING, State.PAUSING): 0.3,
    (State.IDLE, State.CALIBRATING): 0.72,
    (State.CALIBRATING, State.IDLE): 0.6,
    (State.CHECKING, State.IDLE): 0.25,
}
"""Where on its arrow an event is written, 0 to 1, if not in the middle."""

EVERYWHERE: Final = (Event.FAIL, Event.SHUT_DOWN)
"""Events that every state answers alike; the picture leaves them out, the text says them."""

_HEAD: Final = (
    '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"'
    ' orient="auto"><path d="M0 1 L7 4 L0 7"/></marker></defs>'
)


def state_diagram() -> str:
    """Return the picture as SVG.  Raises KeyError for a state that has no place in it."""
    events: dict[tuple[State, State], list[str]] = {}
    for (state, event), target in TRANSITIONS.items():
        if event not in EVERYWHERE and target is not state:
            events.setdefault((state, target), []).append(event)
    arrows = "".join(_arrow(*pair, ", ".join(names)) for pair, names in events.items())
    boxes = "".join(_box(state) for state in State)
    size = f'viewBox="0 0 {WIDTH_PX} {HEIGHT_PX}"'
    return f'<svg class="states" {size} role="img">{_HEAD}{arrows}{boxes}</svg>'


def state_table() -> str:
    """Return what each state means and where its events lead."""
    return table(("state", "meaning", "event: next state"), (_row(state) for state in State))


def _row(state: State) -> tuple[str, str, str]:
    leads = [
        f"{event}: `{target}`"
        for (source, event), target in TRANSITIONS.items()
        if source is state and event not in EVERYWHERE
    ]
    return f"`{state}`", _meanings()[state.name], "<br>".join(leads)


def _meanings() -> dict[str, str]:
    """Return the docstring below each member of :class:`State`."""
    (klass,) = ast.parse(inspect.getsource(State)).body
    body = klass.body if isinstance(klass, ast.ClassDef) else []
    found = {}
    for member, after in pairwise(body):
        if isinstance(member, ast.Assign) and isinstance(after, ast.Expr):
            found[ast.unparse(member.targets[0])] = str(ast.literal_eval(after.value))
    return found


def _box(state: State) -> str:
    (x, y), (width, height) = PLACES[state], BOX_PX
    kind = "state lit" if state in LIT else "state"
    return (
        f'<rect class="{kind}" x="{x - width / 2}" y="{y - height / 2}" width="{width}"'
        f' height="{height}" rx="6"/><text x="{x}" y="{y + 4}">{state}</text>'
    )


def _arrow(source: State, target: State, label: str) -> str:
    start, end = PLACES[source], PLACES[target]
    length = math.dist(start, end)
    # To the right of its direction, so that the arrows of a pair part.
    aside = ((start[1] - end[1]) / length * 30, (end[0] - start[0]) / length * 30)
    bend = BENDS.get((source, target), aside)
    middle = ((start[0] + end[0]) / 2 + bend[0], (start[1] + end[1]) / 2 + bend[1])
    first, last = _edge(start, middle), _edge(end, middle)
    share = LABELS.get((source, target), 0.5)
    weights = ((1 - share) ** 2, 2 * share * (1 - share), share**2)
    x, y = (
        sum(w * point[axis] for w, point in zip(weights, (first, middle, last), strict=True))
        for axis in (0, 1)
    )
    curve = f"M{_at(first)} Q{_at(middle)} {_at(last)}"
    return (
        f'<path d="{curve}" marker-end="url(#head)"/>'
        f'<text class="event" x="{x:.0f}" y="{y - 3:.0f}">{label}</text>'
    )


def _edge(centre: Point, towards: Point) -> Point:
    """Return where the line from ``centre`` to ``towards`` leaves the box around ``centre``."""
    dx, dy = towards[0] - centre[0], towards[1] - centre[1]
    reach = min(
        BOX_PX[0] / 2 / abs(dx) if dx else math.inf, BOX_PX[1] / 2 / abs(dy) if dy else math.inf
    )
    return centre[0] + dx * reach, centre[1] + dy * reach


def _at(point: Point) -> str:
    return f"{point[0]:.1f} {point[1]:.1f}"
