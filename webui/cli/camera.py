"""``leukolux camera``: the camera by itself, for whoever sets up or checks an instrument."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from typing import Any

import click

from device.assembly import DATABASE_NAME, records_folder, simulated_settings
from device.calibration.camera_check import (
    FrameSource,
    measure_noise,
    measure_rate,
    require_frame_name,
    write_frame,
)
from device.calibration.effective import effective_now
from device.calibration.steps.photon_transfer import PhotonTransfer
from device.imaging.field import Field
from device.imaging.imager import take_unlit, with_retries
from device.imaging.rig import ImagingRig, RigUser, end_at_open_lid, sample_of_the_day
from device.records.folder.owner import owned
from device.records.records import Records
from device.settings.file import Settings, changed_settings, load_settings
from hal.camera.genicam.driver import GenicamCamera
from hal.camera.genicam.listing import FeatureInfo
from hal.errors import DeviceError, InputError
from hal.factory import build_clock, build_hardware, camera_alone
from webui.cli.option_types import Number, OutputFile, WholeNumber

METHOD = "photon transfer, EMVA 1288 release 4.0 (linear)"


@click.group()
@click.option("--sim", is_flag=True, help="On a simulated camera behind its GenTL producer.")
@click.option(
    "--settings",
    "settings_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Settings file.",
)
@click.pass_context
def camera(context: click.Context, sim: bool, settings_path: Path | None) -> None:
    """Look at the camera: what is there, what it can do, how fast and how quiet it is.

    The UV light stays off but for `grab --light` and `noise`, and with the lid open it stays off
    in any case; with the light, no other program may run the instrument.  The stage never moves.
    """
    settings = load_settings(settings_path)
    if sim:
        # In real time, or a measured rate would say nothing.
        settings = simulated_settings(settings, wire=True, speed=1.0)
        folder = context.with_resource(TemporaryDirectory(prefix="leukolux-"))
        settings = changed_settings(settings, records__directory=folder)
    context.obj = settings


def _json_option(command: Callable[..., None]) -> Callable[..., None]:
    return click.option(
        "--json",
        "json_path",
        type=OutputFile(dash=True),
        help="Write the result as JSON; - for standard output.",
    )(command)


@camera.command("list")
@_json_option
@click.pass_obj
def list_cameras(settings: Settings, json_path: Path | None) -> None:
    """List the cameras that the GenTL producers see."""
    with camera_alone(settings, build_clock(settings)) as device:
        found = _genicam(device).find()
    lines = [
        f"{c.serial}  {c.vendor} {c.model}  {c.name}  firmware {c.version}  {c.access}  "
        f"({c.producer})"
        for c in found
    ]
    _show(json_path, [asdict(c) for c in found], lines or ["There is no camera."])


@camera.command()
@click.argument("name", required=False)
@_json_option
@click.pass_obj
def features(settings: Settings, name: str | None, json_path: Path | None) -> None:
    """Print the camera's features, or the one called NAME: value, unit, range, access."""
    with camera_alone(settings, build_clock(settings)) as device:
        genicam = _genicam(device)
        genicam.open()
        found = [f for f in genicam.features() if name is None or f.name == name]
    if not found:
        raise InputError("CAMERA-NO-SUCH-FEATURE", name=name)
    _show(json_path, [asdict(f) for f in found], list(_feature_lines(found)))


@camera.command()
@click.argument("path", type=OutputFile())
@click.option(
    "--exposure-ms", type=Number(0, min_open=True), help="Instead of the one of the settings."
)
@click.option("--light", is_flag=True, help="Light the UV LED during the exposure.")
@click.pass_obj
def grab(settings: Settings, path: Path, exposure_ms: float | None, light: bool) -> None:
    """Write one frame to PATH, a .png or .tif file, with its counts as they are.

    With --light the frame before it is dropped while the LED warms up; the light of both is entered
    in the records.
    """
    require_frame_name(path)
    with _source(settings, light=light) as source:
        if exposure_ms is not None:
            source.set_exposure(exposure_ms)
        frame = source.take()
    write_frame(path, frame.pixels)
    lamp = "on" if light else "off (--light switches it on)"
    click.echo(
        f"{path}: {frame.pixels.shape[1]} x {frame.pixels.shape[0]} px, "
        f"{frame.pixel_format} up to {frame.pixel_format.full_scale}, mean "
        f"{frame.pixels.mean():.1f}, {frame.exposure_us / 1000.0:g} ms, UV light {lamp}."
    )


@camera.command()
@click.option("--frames", type=WholeNumber(2, 10_000), default=50, show_default=True)
@click.option(
    "--exposure-ms", type=Number(0, min_open=True), help="Instead of the one of the settings."
)
@_json_option
@click.pass_obj
def rate(
    settings: Settings, frames: int, exposure_ms: float | None, json_path: Path | None
) -> None:
    """Measure frames per second, triggered one by one as in a scan, light off."""
    with camera_alone(settings, build_clock(settings)) as device:
        device.open()
        if exposure_ms is not None:
            device.set_exposure(1000.0 * exposure_ms)
        found = measure_rate(device, frames, settings.camera.frame_timeout_ms)
    lines = [
        f"{found.frames_per_s:.1f} frames/s at {found.exposure_ms:g} ms exposure, "
        f"{found.width_px} x {found.height_px} px, {found.lost} of {frames} lost",
        f"trigger to frame: median {found.median_ms:.2f} ms, longest {found.longest_ms:.2f} ms",
    ]
    _show(json_path, asdict(found), lines)


@camera.command()
@click.option(
    "--exposures", type=WholeNumber(4, 50), default=10, show_default=True, help="How many."
)
@click.option(
    "--longest-ms",
    type=Number(0, min_open=True),
    help="Longest exposure; found by itself without it.",
)
@click.option(
    "--light/--no-light",
    default=True,
    show_default=True,
    help="Use the UV LED, or a steady lamp that somebody else has switched on.",
)
@_json_option
@click.pass_obj
def noise(
    settings: Settings,
    exposures: int,
    longest_ms: float | None,
    light: bool,
    json_path: Path | None,
) -> None:
    """Measure gain, read noise and full well from pairs of frames (photon transfer, EMVA 1288).

    Put blank glass under the objective and close the lid.  With --no-light the command asks for
    the lamp to be covered for the dark frames.
    """
    if light:
        click.echo(f"The UV light is used for about {2 * exposures + 4} short pulses.", err=True)
    with _source(settings, light=light) as source:
        result = measure_noise(
            source,
            exposures,
            longest_ms,
            cover=lambda: click.confirm("Cover the lamp. Is it dark?", abort=True),
            uncover=lambda: click.confirm("Uncover the lamp. Is it lit?", abort=True),
        )
    document = {**asdict(result), "dynamic_range_db": result.dynamic_range_db, "method": METHOD}
    _show(json_path, document, list(_noise_lines(result)))


@contextmanager
def _source(settings: Settings, *, light: bool) -> Iterator[FrameSource]:
    """Open the camera, and only if light is asked for what the imaging rig needs."""
    if light:
        with _rig(settings) as rig:
            # Nobody can see that no sample lies there, so all light counts for one; each exposure
            # goes under a field of its own, because the stage does not move to another place.
            fields = (Field(0, number, 0.0, 0.0) for number in count())
            yield FrameSource(
                rig.hardware.camera,
                lambda: rig.imager.take(next(fields)),
                rig.imager.take_dark,
                rig.hardware.light.max_pulse_ms,
            )
        return
    with camera_alone(settings, build_clock(settings)) as device:
        device.open()
        take_once = partial(take_unlit, device, settings.camera.frame_timeout_ms)
        take = partial(with_retries, take_once, settings.scan.tile_retries)
        yield FrameSource(device, take, take, None)


@contextmanager
def _rig(settings: Settings) -> Iterator[ImagingRig]:
    """Open records, light, lid switch and camera; the stage stays closed."""
    clock, folder = build_clock(settings), records_folder(settings)
    with ExitStack() as opened:
        opened.enter_context(owned(folder))
        records = Records(folder / DATABASE_NAME, clock)
        opened.callback(records.close)
        hardware = build_hardware(settings, clock)
        opened.callback(hardware.close)
        # The light first: its line is low before anything else.
        for device in (hardware.light, hardware.panel, hardware.camera):
            device.open()
        user = RigUser(
            sample_id=sample_of_the_day("command", records),
            cancel=Event(),
            checkpoint=lambda: None,
            lid_opened=end_at_open_lid("command"),
            waiting=lambda: None,
            note=lambda kind, data: None,
        )
        used = effective_now(settings, records.calibrations, hardware)
        with ImagingRig(used.settings, hardware, records, clock, user) as rig:
            yield rig
            rig.light_log.enter_rest()


def _genicam(device: object) -> GenicamCamera:
    if not isinstance(device, GenicamCamera):
        raise DeviceError("CAMERA-NOT-GENICAM")
    return device


def _feature_lines(found: Sequence[FeatureInfo]) -> Iterator[str]:
    category = None
    for f in found:
        if f.category != category:
            category = f.category
            yield f"[{category}]"
        limits = f" ({f.low} to {f.high}{f' in {f.step}' if f.step else ''})" if f.low else ""
        choices = f" ({', '.join(f.choices)})" if f.choices else ""
        yield f"{f.name:24} {f.value} {f.unit}".rstrip() + f"{limits}{choices}  {f.access}"


def _noise_lines(result: PhotonTransfer) -> Iterator[str]:
    yield "exposure ms   signal   variance   (counts, counts squared)"
    for p in result.points:
        mark = "  saturated" if p.saturated else ""
        yield f"{p.exposure_ms:11.3f} {p.signal:8.1f} {p.variance:10.2f}{mark}"
    reached = "reached" if result.full_well_reached else "where the counts end; not reached"
    yield f"gain          {result.gain_e_per_count:.3f} e-/count"
    yield f"read noise    {result.read_noise_e:.2f} e-"
    yield f"full well     {result.full_well_e:.0f} e- ({reached})"
    yield f"dynamic range {result.dynamic_range_db:.1f} dB"
    yield f"dark level    {result.dark_level:.1f} counts"
    yield f"linearity     within {100 * result.linearity_error:.2f} %"
    yield f"Method: {METHOD}."


def _show(json_path: Path | None, document: Any, lines: Sequence[str]) -> None:
    if json_path is None:
        click.echo("\n".join(lines))
        return
    with click.open_file(str(json_path), "w", encoding="utf-8") as file:
        file.write(json.dumps(document, indent=2) + "\n")
