"""Every setting with its default, unit, range and meaning, from the models that check them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, get_args, get_origin

from markup import docstring, table
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from device.settings.file import Settings


def settings_table() -> str:
    """Return one section a table of the settings file."""
    defaults = Settings()
    return "\n\n".join(_section(name, getattr(defaults, name)) for name in Settings.model_fields)


def _section(name: str, section: BaseModel) -> str:
    rows = _rows(section)
    return f"## [{name}]\n\n{docstring(type(section))}\n\n" + table(
        ("setting", "default", "unit", "allowed", "meaning"), rows
    )


def _rows(section: BaseModel) -> Iterator[tuple[str, ...]]:
    for key, field in type(section).model_fields.items():
        extra = field.json_schema_extra
        unit = str(extra.get("unit", "")) if isinstance(extra, dict) else ""
        default = _toml(getattr(section, key))
        yield f"`{key}`", f"`{default}`", unit, _allowed(field), field.description or ""


def _allowed(field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return ", ".join(f"`{_toml(value)}`" for value in get_args(field.annotation))
    if get_origin(field.annotation) is dict:
        return "a number for each name"
    if field.annotation is bool:
        return "`true`, `false`"
    low = next((item.ge for item in field.metadata if hasattr(item, "ge")), None)
    high = next((item.le for item in field.metadata if hasattr(item, "le")), None)
    return "text" if low is None else f"{low:g} to {high:g}"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    return f"{value:g}" if isinstance(value, int | float) else str(value)
