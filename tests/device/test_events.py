"""Notifications: bounded, ordered, and never waited for."""

from __future__ import annotations

from threading import Thread

from device.system.events import EventBus, EventKind


def test_every_subscriber_gets_every_event_in_order() -> None:
    bus = EventBus()
    with bus.subscribe() as one, bus.subscribe() as other:
        for number in range(5):
            bus.publish(EventKind.TILE, {"number": number})
        for subscription in (one, other):
            events = [subscription.next(1.0) for _ in range(5)]
            assert [event.data["number"] for event in events if event] == [0, 1, 2, 3, 4]


def test_a_slow_subscriber_loses_the_oldest_and_sees_the_gap() -> None:
    bus = EventBus()
    with bus.subscribe(capacity=3) as slow:
        sent = [bus.publish(EventKind.TILE, {}) for _ in range(10)]
        received = [slow.next(1.0) for _ in range(3)]
        assert received == sent[-3:]
        assert slow.next(0.0) is None


def test_an_empty_inbox_gives_none_after_the_timeout() -> None:
    with EventBus().subscribe() as subscription:
        assert subscription.next(0.01) is None


def test_a_waiting_subscriber_is_woken_by_an_event_and_by_the_end() -> None:
    bus = EventBus()
    subscription = bus.subscribe()
    received = []

    def listen() -> None:
        while not subscription.closed:
            event = subscription.next(30.0)
            if event is not None:
                received.append(event.kind)

    listener = Thread(target=listen)
    listener.start()
    bus.publish(EventKind.RESULT, {})
    bus.close()
    listener.join(10.0)
    assert not listener.is_alive()
    assert received in ([EventKind.RESULT], [])


def test_who_has_left_gets_nothing_more_and_a_closed_bus_takes_nobody() -> None:
    bus = EventBus()
    with bus.subscribe() as left:
        pass
    bus.publish(EventKind.TILE, {})
    assert left.next(0.0) is None
    assert left.closed
    bus.close()
    assert bus.subscribe().closed
