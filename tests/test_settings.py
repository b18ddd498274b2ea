"""The settings file: documented defaults, and errors that name key, value and range."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from device.settings.file import Settings, describe_settings, load_settings, parse_settings
from hal.errors import SettingsError

ROOT = Path(__file__).resolve().parent.parent


def test_the_documented_defaults_are_the_defaults() -> None:
    assert parse_settings(tomllib.loads(describe_settings())) == Settings()


def test_printed_settings_give_the_same_settings() -> None:
    settings = parse_settings({"calibration": {"valid_days": {"flat_field": 14, "backlash": 0}}})
    assert parse_settings(tomllib.loads(describe_settings(settings))) == settings


def test_every_key_is_documented_and_every_number_has_a_range() -> None:
    for section in Settings.model_fields.values():
        assert section.annotation is not None
        for name, field in section.annotation.model_fields.items():
            assert field.description, name
            if field.annotation in (int, float):
                bounds = {type(item).__name__ for item in field.metadata}
                assert {"Ge", "Le"} <= bounds, name


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"scan": {"target_cells": 0}}, ["scan.target_cells", "0", "1 to 2000"]),
        ({"camera": {"gain_db": "high"}}, ["camera.gain_db", "'high'", "0.0 to 24.0 dB"]),
        ({"camera": {"width_px": 1392.5}}, ["camera.width_px", "1392.5"]),
        ({"scan": {"targetcells": 5}}, ["scan.targetcells", "Unknown"]),
        ({"sacn": {}}, ["sacn", "Unknown"]),
        ({"camera": {"driver": "webcam"}}, ["camera.driver", "'webcam'", '"sim" or "genicam"']),
        ({"camera": 3}, ["camera = 3 is no table"]),
        ({"scan": {"blank_x_um": 82_001.0}}, ["scan.blank_y_um", "stage.slide_left_um"]),
        ({"stage": {"slide_top_um": 41_000.0}}, ["scan area", "stage.slide_height_um"]),
        ({"apt": {"address_y": 33}}, ["[apt]: x and y", "same channel"]),
        ({"web": {"lan": True}}, ["web.lan_token", "16"]),
    ],
)
def test_a_wrong_setting_is_named_with_its_value_and_what_is_allowed(
    document: dict[str, object], words: list[str]
) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_settings(document)
    for word in words:
        assert word in caught.value.cause


def test_all_wrong_settings_are_named_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        parse_settings({"scan": {"target_cells": 0}, "web": {"port": -1}})
    assert "scan.target_cells" in caught.value.cause
    assert "web.port" in caught.value.cause


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"[scan", "SETTINGS-NOT-TOML"),
        (b"\xff\xfe", "SETTINGS-NOT-UTF8"),
        (b"a = 1\na = 2\n", "SETTINGS-NOT-TOML"),
        (b"a = 1\n", "SETTINGS-INVALID"),
    ],
)
def test_a_damaged_file_is_a_clear_error(tmp_path: Path, content: bytes, code: str) -> None:
    path = tmp_path / "leukolux.toml"
    path.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        load_settings(path)
    assert caught.value.error_code == code
    assert str(path) in caught.value.cause or "a = 1" in caught.value.cause


def test_a_missing_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"SETTINGS-UNREADABLE: .*No such file"):
        load_settings(tmp_path / "none.toml")


def test_the_settings_file_that_version_0_1_0_wrote_is_still_accepted() -> None:
    former = ROOT / "tests" / "old_settings" / "leukolux-0.1.0.toml"
    settings = load_settings(former)
    assert settings.calibration.valid_days["flat_field"] == 30
    assert settings.scan == Settings().scan


def test_a_removed_setting_that_was_in_use_is_refused() -> None:
    with pytest.raises(SettingsError, match="replay_stage"):
        parse_settings({"simulation": {"replay_stage": "wires.jsonl"}})
