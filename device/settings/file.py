"""The settings file: one TOML document, defaults in code, every key with its unit and range."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError, model_validator
from pydantic.fields import FieldInfo

from device.settings.numbers import shortened
from device.settings.sections import (
    AnalysisConfig,
    CalibrationConfig,
    QualityConfig,
    RecorderConfig,
    RecordsConfig,
    ScanConfig,
    WebConfig,
)
from hal.config import HardwareConfig, LightConfig, Section, SimulationConfig
from hal.errors import SettingsError


class Settings(HardwareConfig):
    """Everything that can be set: the tables of the hardware and those of the instrument."""

    scan: ScanConfig = ScanConfig()
    analysis: AnalysisConfig = AnalysisConfig()
    calibration: CalibrationConfig = CalibrationConfig()
    records: RecordsConfig = RecordsConfig()
    recorder: RecorderConfig = RecorderConfig()
    quality: QualityConfig = QualityConfig()
    web: WebConfig = WebConfig()

    @model_validator(mode="after")
    def _token_for_the_network(self) -> Settings:
        if self.web.lan and len(self.web.lan_token) < 16:
            raise ValueError("web.lan needs web.lan_token of at least 16 characters")
        return self

    @model_validator(mode="after")
    def _scan_on_the_slide(self) -> Settings:
        stage, scan = self.stage, self.scan
        xs = (scan.left_um, scan.left_um + scan.width_um, scan.blank_x_um)
        ys = (scan.top_um, scan.top_um + scan.height_um, scan.blank_y_um)
        for places, low, length in (
            (xs, stage.slide_left_um, stage.slide_width_um),
            (ys, stage.slide_top_um, stage.slide_height_um),
        ):
            if min(places) < low or max(places) > low + length:
                raise ValueError(
                    "the scan area and the blank place, scan.left_um to scan.blank_y_um, must lie "
                    "on the slide, stage.slide_left_um to stage.slide_height_um"
                )
        return self


class _Light(Section):
    """The settings that name the light's line, alone."""

    light: LightConfig = LightConfig()
    simulation: SimulationConfig = SimulationConfig()


def load_settings(path: Path | None = None) -> Settings:
    """Read ``path``, or give the defaults for None.

    Raises:
        SettingsError: the file is missing or not TOML, or a key is unknown, of the wrong type or
            out of range; names the key, the value and what is allowed.
    """
    return Settings() if path is None else parse_settings(_read(path))


def load_light(path: Path | None = None) -> tuple[LightConfig, SimulationConfig]:
    """Read the light's settings alone, so that it can be switched off whatever else is wrong.

    Raises:
        SettingsError: the file is missing or not TOML, or the light's own settings are wrong, or
            those of a simulation that the light is part of.
    """
    document = {} if path is None else _read(path)
    tables = {"light": document.get("light", {})}
    try:
        found = _Light.model_validate(tables)
        if found.light.gpio == "sim":
            found = _Light.model_validate(tables | {"simulation": document.get("simulation", {})})
    except ValidationError as error:
        raise _refusal(error) from error
    return found.light, found.simulation


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError("SETTINGS-UNREADABLE", path=path, reason=error.strerror) from error
    except UnicodeDecodeError as error:
        raise SettingsError("SETTINGS-NOT-UTF8", path=path, reason=error) from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError("SETTINGS-NOT-TOML", path=path, reason=error) from error


def parse_settings(document: dict[str, Any]) -> Settings:
    """Check a parsed settings document.  Raises SettingsError as :func:`load_settings`."""
    try:
        return Settings.model_validate(document)
    except ValidationError as error:
        raise _refusal(error) from error


def changed_settings(settings: Settings, **changes: object) -> Settings:
    """Return ``settings`` with other values; ``scan__target_cells=5`` sets ``scan.target_cells``.

    Raises:
        SettingsError: as :func:`load_settings`.
    """
    document = settings.model_dump()
    for name, value in changes.items():
        section, key = name.split("__")
        document[section][key] = value
    return parse_settings(document)


def _refusal(error: ValidationError) -> SettingsError:
    problems = [_explain(problem) for problem in error.errors(include_url=False)]
    return SettingsError("SETTINGS-INVALID", problems=" ".join(problems))


def _explain(problem: Any) -> str:
    path = tuple(str(part) for part in problem["loc"])
    name = ".".join(path) or "settings"
    if problem["type"] == "extra_forbidden":
        return f"Unknown setting {name} = {shortened(problem['input'])}."
    if problem["type"] == "value_error":
        return f"{f'[{name}]: ' if path else ''}{problem['ctx']['error']}."
    if problem["type"] == "model_type":
        return f"{name} = {shortened(problem['input'])} is no table of settings."
    field = _field(path)
    allowed = f" Allowed: {_allowed(field)}." if field is not None else ""
    return f"{name} = {shortened(problem['input'])}: {problem['msg'].lower()}.{allowed}"


def _field(path: tuple[str, ...]) -> FieldInfo | None:
    section: type[BaseModel] | None = Settings
    found: FieldInfo | None = None
    for part in path:
        if section is None or part not in section.model_fields:
            return found
        found = section.model_fields[part]
        annotation = found.annotation
        section = (
            annotation
            if isinstance(annotation, type) and issubclass(annotation, BaseModel)
            else None
        )
    return found


def _allowed(field: FieldInfo) -> str:
    low = next((item.ge for item in field.metadata if hasattr(item, "ge")), None)
    high = next((item.le for item in field.metadata if hasattr(item, "le")), None)
    if get_origin(field.annotation) is Literal:
        return " or ".join(f'"{choice}"' for choice in get_args(field.annotation))
    if get_origin(field.annotation) is dict:
        return "a number for each name"
    kind = getattr(field.annotation, "__name__", str(field.annotation))
    if low is None:
        return kind
    unit = (
        field.json_schema_extra.get("unit", "") if isinstance(field.json_schema_extra, dict) else ""
    )
    return f"{kind} from {low} to {high} {unit}".rstrip()


def describe_settings(settings: Settings | None = None) -> str:
    """Return the settings as a commented TOML document: value, unit, range and meaning."""
    settings = settings if settings is not None else Settings()
    lines: list[str] = []
    for name in Settings.model_fields:
        section = getattr(settings, name)
        lines += ["", f"# {(type(section).__doc__ or '').splitlines()[0]}", f"[{name}]"]
        for key, field in type(section).model_fields.items():
            lines.append(f"# {field.description} ({_allowed(field)})")
            lines.append(f"{key} = {_toml(getattr(section, key))}")
    return "\n".join(lines).lstrip() + "\n"


def _toml(value: bool | int | float | str | Mapping[str, int]) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_toml(key)} = {number}" for key, number in value.items()) + "}"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return repr(value)
