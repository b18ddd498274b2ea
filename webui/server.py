"""The listeners: one for the built-in screen, and one for the local network when it is opened."""

from __future__ import annotations

import logging
from socket import socket
from threading import Thread
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, cast

from cheroot import wsgi

from hal.errors import LeukoluxError, SettingsError
from webui import trust
from webui.app import LARGEST_BODY_BYTES, create_app
from webui.context import parts_of
from webui.trust import Listener

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from device.analysis.staining import VirtualStain
    from device.instrument import Instrument
    from device.records.records import Records
    from device.settings.file import Settings
    from device.settings.sections import WebConfig

SCREEN_THREADS: Final = 16
NETWORK_THREADS: Final = 6
IDLE_TIMEOUT_S: Final = 4
STOP_TIMEOUT_S: Final = 1
KEPT_CONNECTIONS: Final = 64
WAITING_CONNECTIONS: Final = 128
LARGEST_HEADER_BYTES: Final = 32 * 1024

_log = logging.getLogger(__name__)


class ListenError(LeukoluxError):
    """A listener cannot open its address."""


class WebServer:
    """Serves the application on its listeners, each with threads of its own.

    A stalled local network therefore never takes a thread from the screen.  A context manager.

    Args:
        instrument: what the pages show and control.
        records: where results are read from.
        settings: ``settings.web`` says what to open.
        stain: as :func:`webui.app.create_app`.

    Raises:
        SettingsError: the screen's address is reachable from outside this computer.
    """

    def __init__(
        self,
        instrument: Instrument,
        records: Records,
        settings: Settings,
        stain: VirtualStain | None = None,
    ) -> None:
        _check(settings.web)
        self._web = settings.web
        self.app = create_app(instrument, records, settings, stain)
        self._screen = _Listening(
            self._web.host, self._web.port, trust.behind(Listener.SCREEN, self.app), SCREEN_THREADS
        )
        self._network = _Listening(
            self._web.lan_host,
            self._web.lan_port,
            trust.behind(Listener.NETWORK, self.app),
            NETWORK_THREADS,
        )

    @property
    def url(self) -> str:
        """Address of the built-in screen, after :meth:`start`."""
        return f"http://{_bracketed(self._web.host)}:{self._screen.port}/"

    @property
    def network_port(self) -> int:
        """Port of the local network's listener, after :meth:`start`."""
        return self._network.port

    def start(self) -> None:
        """Open the listeners and serve in the background.

        Raises:
            ListenError: an address cannot be opened; none stays open then.
        """
        self._screen.start("port")
        if self._web.lan:
            try:
                self._network.start("lan_port")
            except ListenError:
                self.close()
                raise

    def close(self) -> None:
        """End the event streams, the listeners and the staining; safe to call twice."""
        parts_of(self.app).streams.close()
        self._network.close()
        self._screen.close()
        parts_of(self.app).stainer.close()

    def __enter__(self) -> WebServer:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class _Listening:
    def __init__(self, host: str, port: int, application: WSGIApplication, threads: int) -> None:
        self._server = _PatientServer(
            (host, port),
            application,
            numthreads=threads,
            max=threads,
            request_queue_size=WAITING_CONNECTIONS,
            timeout=IDLE_TIMEOUT_S,
            shutdown_timeout=STOP_TIMEOUT_S,
            server_name="leukolux",
        )
        self._host, self.port = host, port
        self._thread: Thread | None = None

    def start(self, key: str) -> None:
        try:
            self._server.prepare()
        except OSError as error:
            reason = error.strerror or error
            raise ListenError(
                "WEB-LISTEN", host=self._host, port=self.port, reason=reason, key=key
            ) from error
        self.port = self._server.bind_addr[1]
        self._thread = Thread(target=self._server.serve, name=f"web-{self.port}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        if self._thread is None:
            return
        self._server.stop()
        self._thread.join()
        self._thread = None


class _PatientServer(wsgi.Server):
    """A server in which a client that connects and stays silent takes no thread.

    cheroot gives a new connection to a worker at once, and the worker then waits for the first
    byte; here the connection waits with the idle ones until there is something to read.
    """

    keep_alive_conn_limit = KEPT_CONNECTIONS
    max_request_header_size = LARGEST_HEADER_BYTES
    # Without it the server would wait for the rest of a refused body before it answers.
    max_request_body_size = LARGEST_BODY_BYTES
    expiration_interval = 0.2

    @staticmethod
    def bind_socket(socket_: socket, bind_addr: tuple[str, int]) -> socket:
        try:
            bound = wsgi.Server.bind_socket(socket_, bind_addr)  # type: ignore[no-untyped-call]
        except OSError:
            socket_.close()
            raise
        return cast("socket", bound)

    def process_conn(self, conn: Any) -> None:
        if getattr(conn, "has_waited", False):
            super().process_conn(conn)
        else:
            conn.has_waited = True
            self.put_conn(conn)

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        _log.log(level, msg, exc_info=traceback)


def _check(web: WebConfig) -> None:
    if not trust.is_loopback(web.host):
        raise SettingsError("WEB-HOST-SETTING", host=web.host)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
