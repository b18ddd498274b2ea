"""The state of the instrument, and what must happen before a state counts as entered."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from device.engine.state.snapshot import Snapshot, SnapshotStore
from device.engine.state.states import Event, Refusal, State, answer
from device.errors import as_anticipated

log = logging.getLogger(__name__)


class StateMachine:
    """Moves along :data:`device.engine.state.states.TRANSITIONS`; fired by one thread, read by any.

    Args:
        snapshots: where the state stands, together with its data.
        enter: hook that brings the hardware into the condition a state promises; called with the
            coming snapshot before the state counts as entered.
        make_safe: light off and stage stopped; must not raise.
    """

    def __init__(
        self,
        snapshots: SnapshotStore,
        enter: Callable[[Snapshot], None],
        make_safe: Callable[[], None],
    ) -> None:
        self._snapshots = snapshots
        self._enter = enter
        self._make_safe = make_safe

    @property
    def state(self) -> State:
        """The state entered last."""
        return self._snapshots.snapshot.state

    def fire(self, event: Event, **data: Any) -> State:
        """Enter the state that ``event`` leads to; publish it together with its data.

        A hook that fails leads to the fault state with light off and stage stopped, never to the
        state asked for; its exception is raised.

        Args:
            event: what happened.
            data: fields of the snapshot that change with the state.

        Raises:
            RuntimeError: the table refuses the event; nothing was changed.
        """
        now = self._snapshots.snapshot
        target = answer(now.state, event)
        if isinstance(target, Refusal):
            raise RuntimeError(target.error().cause)  # noqa: TRY004 (a wrong moment, not a type)
        try:
            self._enter(replace(now, state=target, **data))
        except Exception as error:
            self._make_safe()
            if target is not State.FAULT:
                data = {"error": as_anticipated(error)}
            self._tell(State.FAULT, data)
            raise
        self._tell(target, data)
        return target

    def _tell(self, state: State, data: Mapping[str, Any]) -> None:
        log.info("state %s", state)
        self._snapshots.put(state=state, **data)
