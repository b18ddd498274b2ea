"""``leukolux run``: the instrument with its screen."""

from __future__ import annotations

import logging
import signal
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Final

import click

from device.assembly import assembled, simulated_settings
from device.engine.state.states import State
from device.settings.file import changed_settings, load_settings
from device.system.service_manager import ServiceManager
from device.system.signals import setter
from webui.cli.option_types import Number, WholeNumber
from webui.server import WebServer

if TYPE_CHECKING:
    from device.instrument import Instrument

LOOK_S: Final = 0.5
"""Period of the check for a request to end, and of the reports to systemd."""


@click.command()
@click.option("--sim", is_flag=True, help="Run the simulated instrument.")
@click.option("--sim-wire", is_flag=True, help="With the camera behind a GenTL producer.")
@click.option("--smear", help="Simulated donor, NAME:SEED.")
@click.option("--speed", type=Number(0, min_open=True), help="Simulated seconds per real second.")
@click.option("--port", type=WholeNumber(0), help="Port of the screen's pages; 0 picks a free one.")
@click.option(
    "--settings",
    "settings_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Settings file.",
)
def run(
    sim: bool,
    sim_wire: bool,
    smear: str | None,
    speed: float | None,
    port: int | None,
    settings_path: Path | None,
) -> None:
    """Start the instrument and its screen; ends with Ctrl-C or SIGTERM, light off.

    SIGUSR1 saves the recording of the last minutes for `leukolux diagnose`.
    """
    settings = load_settings(settings_path)
    if (smear or speed is not None or sim_wire) and not sim:
        raise click.UsageError("--smear, --speed and --sim-wire need --sim.")
    if sim:
        settings = simulated_settings(settings, smear=smear, speed=speed, wire=sim_wire)
    if port is not None:
        settings = changed_settings(settings, web__port=port)
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, setter(stop))
    manager = ServiceManager.from_environment()
    with (
        assembled(settings, manager) as assembly,
        WebServer(assembly.instrument, assembly.records, settings) as server,
    ):
        signal.signal(signal.SIGUSR1, lambda *_: assembly.hardware.recorder.keep("signal"))
        click.echo(f"Leukolux is at {server.url}  (Ctrl-C ends it; research use only)")
        if settings.web.lan:
            click.echo(f"Results for the local network: port {server.network_port}, with a token")
        if manager.listens:
            report(assembly.instrument, manager, stop)
        # A signal that the kernel gives to another thread does not wake this one.
        while not stop.wait(LOOK_S):
            pass
        manager.stopping()
        manager.status("shutting down")
    logging.getLogger(__name__).info("stopped")


def report(instrument: Instrument, manager: ServiceManager, stop: Event) -> None:
    """Report every state to ``manager``, until ``stop``.

    The instrument is ready when its pages answer and its self-test has begun; also if a device
    failed before that, because the screen then says what to do.
    """
    ready, told = False, ""
    with instrument.events.subscribe() as events:
        while not stop.is_set() and not events.closed:
            status = instrument.status()
            text = f"{status.state.replace('_', ' ')}: {status.activity}"
            if text != told:
                manager.status(text)
                told = text
            if not ready and status.state != State.BOOTING:
                manager.ready()
                ready = True
            events.next(LOOK_S)
