"""A status is told whole: never the state of a new run with the data of the former one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Event as Signal
from threading import Thread
from typing import Any

from flask import Flask
from small_instrument import SmallInstrument

from device.engine.state.states import State
from device.system.events import EventKind, Subscription
from webui.app import create_app
from webui.trust import ENVIRON_KEY, Listener

RUN_STATES = (State.PREPARING, State.SCANNING, State.FINISHING, State.COMPLETE)
OF_A_RUN = ("run_id", "sample_id", "operator", "counts", "elapsed_s", "tiles_analysed")


def is_whole(told: Mapping[str, Any], former: Mapping[str, Any], run_id: int) -> bool:
    """Whether state and data are both of the former run, or both of the new one."""
    if told["state"] not in RUN_STATES:
        return all(told[name] == former[name] for name in OF_A_RUN)
    counted = sum(told["counts"].values()) + told["tiles_acquired"]
    return (
        (told["run_id"], told["sample_id"], told["operator"]) == (run_id, "S-2", "Bee")
        and told["elapsed_s"] != former["elapsed_s"]
        and (told["state"] != State.PREPARING or counted == 0)
        and not told["waiting_sample"]["ready"]
    )


def published(events: Subscription) -> Iterator[Mapping[str, Any]]:
    """Yield every status until the run is complete."""
    while (event := events.next(30.0)) is not None:
        if event.kind is EventKind.STATUS:
            yield event.data
            if event.data["state"] == State.COMPLETE:
                return


@contextmanager
def answers(app: Flask) -> Iterator[list[dict[str, Any]]]:
    """Ask the API for the status again and again, from another thread.

    The short waits let the other threads run, as a page does between two questions.
    """
    client = app.test_client()
    client.environ_base[ENVIRON_KEY] = Listener.SCREEN
    found: list[dict[str, Any]] = []
    enough = Signal()

    def ask() -> None:
        while not enough.wait(0.01):
            found.append(client.get("/api/v1/status").get_json())

    asking = Thread(target=ask)
    asking.start()
    try:
        yield found
    finally:
        enough.set()
        asking.join(10.0)


def test_no_status_over_a_start_mixes_the_new_run_with_the_former_one(rig: SmallInstrument) -> None:
    rig.idle()
    rig.instrument.start("S-1", operator="Ann")
    rig.wait_for(State.COMPLETE)
    rig.instrument.acknowledge()
    former = vars(rig.idle())
    assert (former["sample_id"], former["operator"]) == ("S-1", "Ann")
    assert former["classified"] >= 20
    app = create_app(rig.instrument, rig.records, rig.settings)
    with rig.instrument.events.subscribe(100_000) as events, answers(app) as asked:
        run_id = rig.instrument.start("S-2", operator="Bee")
        assert rig.instrument.status().run_id == run_id
        told = list(published(events))
    assert told[-1]["elapsed_s"] == rig.instrument.status().elapsed_s
    assert [one["sequence"] for one in told] == sorted(one["sequence"] for one in told)
    assert {one["state"] for one in told} >= set(RUN_STATES)
    for status in (*told, *asked):
        assert is_whole(status, former, run_id), status
