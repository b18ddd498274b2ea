"""Orders: requests whose sender waits until the owner of the hardware begins them, or refuses."""

from __future__ import annotations

from concurrent.futures import Future
from threading import Lock
from typing import Generic, TypeVar

from device.engine.state.requests import Requests
from device.engine.state.states import Event
from device.errors import RequestRefusedError

ANSWER_TIMEOUT_S = 6.0
"""How long a sender waits; shorter than a page waits for its request."""

Work = TypeVar("Work")
Begun = TypeVar("Begun")


class Order(Generic[Work, Begun]):
    """Either it is accepted and begins, or its sender is told that it was refused; never both.

    Attributes:
        work: what is wanted.
    """

    def __init__(self, work: Work) -> None:
        self.work = work
        self._answer: Future[Begun] = Future()

    def wait(self, timeout_s: float) -> Begun:
        """Return what the owner answers when the work begins; called by the sender.

        Raises:
            RequestRefusedError: there was no answer in time; the order is withdrawn.
            LeukoluxError: the order was refused.
        """
        try:
            return self._answer.result(timeout_s)
        except TimeoutError as error:
            if self._answer.cancel():
                raise RequestRefusedError("REQUEST-NOT-ANSWERED", timeout_s=timeout_s) from error
        # Accepted in the last moment: the owner is about to answer.
        return self._answer.result()

    def accept(self) -> bool:
        """Return whether the order still stands; from then on it cannot be withdrawn.

        Whoever accepts must call :meth:`begin` or :meth:`refuse`.
        """
        return self._answer.set_running_or_notify_cancel()

    def begin(self, answer: Begun) -> None:
        """Tell the sender that the accepted work has begun."""
        self._answer.set_result(answer)

    def refuse(self, refusal: Exception) -> None:
        """Tell the sender why the work does not begin, unless the sender waits no longer."""
        if self._answer.done():
            return
        if self._answer.running() or self.accept():
            self._answer.set_exception(refusal)


class OrderSlot(Generic[Work, Begun]):
    """At most one order that waits for the owner of the hardware.

    Args:
        requests: of the engine.
        event: what is asked for.
    """

    def __init__(self, requests: Requests, event: Event) -> None:
        self._requests = requests
        self._event = event
        self._lock = Lock()
        self._waiting: Order[Work, Begun] | None = None

    def ask(self, work: Work) -> Begun:
        """Ask for work and wait until it begins; return what :meth:`Order.begin` was given.

        Raises:
            RequestRefusedError: another order waits, or there was no answer in time.
            LeukoluxError: the order was refused.
        """
        order: Order[Work, Begun] = Order(work)
        with self._lock:
            if self._waiting is not None:
                raise RequestRefusedError("REQUEST-TWICE", request=self._event)
            self._waiting = order
        self._requests.put(self._event)
        try:
            return order.wait(ANSWER_TIMEOUT_S)
        finally:
            with self._lock:
                self._waiting = None

    def take(self) -> Order[Work, Begun] | None:
        """Return the order that waits, if one was asked for."""
        if not self._requests.take(self._event):
            return None
        with self._lock:
            return self._waiting
