"""The state of the instrument, and what must happen before a state counts as entered."""

from __future__ import annotations

import logging
from collections.abc import Callable
from threading import Lock

from device.engine.states import Event, Refusal, State, answer

log = logging.getLogger(__name__)


class StateMachine:
    """Moves along :data:`device.engine.states.TRANSITIONS`; fired by one thread, read by any.

    Args:
        enter: hook that brings the hardware into the condition a state promises; called before
            the state counts as entered.
        make_safe: light off and stage stopped; must not raise.
        changed: told of every state entered.
    """

    def __init__(
        self,
        enter: Callable[[State], None],
        make_safe: Callable[[], None],
        changed: Callable[[State], None],
    ) -> None:
        self._enter = enter
        self._make_safe = make_safe
        self._changed = changed
        self._lock = Lock()
        self._state = State.BOOTING

    @property
    def state(self) -> State:
        """The state entered last."""
        with self._lock:
            return self._state

    def fire(self, event: Event) -> State:
        """Enter the state that ``event`` leads to.

        A hook that fails leads to the fault state with light off and stage stopped, never to the
        state asked for; its exception is raised.

        Raises:
            RuntimeError: the table refuses the event; nothing was changed.
        """
        target = answer(self.state, event)
        if isinstance(target, Refusal):
            raise RuntimeError(target.explanation)  # noqa: TRY004 (a wrong moment, not a type)
        try:
            self._enter(target)
        except Exception:
            self._make_safe()
            self._set(State.FAULT)
            raise
        self._set(target)
        return target

    def _set(self, state: State) -> None:
        log.info("state %s", state)
        with self._lock:
            self._state = state
        self._changed(state)
