"""Loads the GenICam libraries if a camera needs them, and turns their exceptions into ours."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType

from hal.errors import CameraError, DeviceError
from hal.interfaces.failures import camera_unplugged


@dataclass(frozen=True)
class Binding:
    """The modules of genicam and harvesters, and the log that harvesters writes to."""

    genapi: ModuleType
    gentl: ModuleType
    core: ModuleType
    log: logging.Logger

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        """Roots of the two exception trees, which have nothing in common."""
        return (self.genapi.GenericException, self.gentl.GenericException)

    @property
    def silences(self) -> tuple[type[Exception], ...]:
        """What is raised when the camera is gone."""
        return (
            self.gentl.IoException,
            self.gentl.TimeoutException,
            self.gentl.ClosedException,
            self.genapi.TimeoutException,
        )

    @contextmanager
    def translated(self, doing: str) -> Iterator[None]:
        """Turn the libraries' exceptions into CameraError; ``doing`` begins its sentence."""
        try:
            yield
        except self.silences as error:
            raise camera_unplugged(doing, first_words(error)) from error
        except self.failures as error:
            raise CameraError("CAMERA-REFUSED", doing=doing, said=first_words(error)) from error


def first_words(error: BaseException) -> str:
    """Return the part of a library's message that is for people."""
    text = str(error).removeprefix("GenTL exception: ")
    for tail in (" : ", " (Message from", " (ID:"):
        text = text.split(tail)[0]
    return text.strip().rstrip(".")


def load_binding() -> Binding:
    """Import the libraries.

    Raises:
        DeviceError: they are not installed, or not for this Python.
    """
    try:
        # Harvesters changes the filters of warnings for everybody; they are put back.
        with warnings.catch_warnings():
            from genicam import genapi, gentl
            from harvesters import core
    except ImportError as error:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise DeviceError("CAMERA-DRIVER", reason=error, python_version=version) from error
    # What it reports is raised as well, and said by us.
    log = logging.getLogger("hal.genicam.harvesters")
    log.setLevel(logging.CRITICAL)
    return Binding(genapi, gentl, core, log)
