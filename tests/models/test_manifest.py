from __future__ import annotations

import json
from pathlib import Path

import pytest

from models.cell_kind import CellKind
from models.errors import ModelError
from models.manifest import (
    MANIFEST_NAME,
    Manifest,
    NetworkEntry,
    Score,
    read_manifest,
    sha256_of,
    verified_file,
    write_manifest,
)
from models.runtime import PACKAGE_DIRECTORY, load_models

MOST_BYTES_TOGETHER = 6_000_000


def manifest_of(path: Path) -> Manifest:
    entry = NetworkEntry(
        file=path.name,
        sha256=sha256_of(path),
        input_layout="uint8 (n, 48, 48, 16)",
        block_px=4,
        crop_px=192,
        parameters={"temperature": 1.25},
        training_data="made up",
        scores={"share": Score(value=0.9, n=10, low=0.55, high=0.99)},
    )
    return Manifest(
        created="2026-01-31",
        versions={"leukolux": "0.1.0"},
        pixel_um=0.165,
        blank_level=220,
        classes=tuple(CellKind),
        networks={"some": entry},
    )


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    file = tmp_path / "some.onnx"
    file.write_bytes(b"weights")
    manifest = manifest_of(file)
    write_manifest(tmp_path, manifest)
    assert read_manifest(tmp_path) == manifest
    assert verified_file(tmp_path, manifest.networks["some"]) == file


def test_one_changed_byte_is_refused_with_both_hashes_and_a_remedy(copied_models: Path) -> None:
    file = copied_models / "segmenter.onnx"
    damaged = bytearray(file.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    file.write_bytes(damaged)
    with pytest.raises(ModelError) as caught:
        load_models(copied_models)
    assert sha256_of(file)[:12] in caught.value.cause
    assert read_manifest(copied_models).networks["segmenter"].sha256[:12] in caught.value.cause
    assert caught.value.remedy


@pytest.mark.parametrize("name", ["scout.onnx", "classifier.onnx", MANIFEST_NAME])
def test_a_missing_file_is_named(copied_models: Path, name: str) -> None:
    (copied_models / name).unlink()
    with pytest.raises(ModelError, match=name):
        load_models(copied_models)


@pytest.mark.parametrize(
    ("key", "value"),
    [("format", 2), ("pixel_um", -1.0), ("blank_level", "white"), ("surprise", 1)],
)
def test_an_unknown_manifest_is_refused_by_the_key(
    copied_models: Path, key: str, value: object
) -> None:
    path = copied_models / MANIFEST_NAME
    content = json.loads(path.read_text())
    content[key] = value
    path.write_text(json.dumps(content))
    with pytest.raises(ModelError, match=key):
        load_models(copied_models)


def test_text_that_is_no_json_is_refused(copied_models: Path) -> None:
    (copied_models / MANIFEST_NAME).write_text("{")
    with pytest.raises(ModelError, match="format"):
        load_models(copied_models)


def test_a_manifest_without_a_network_is_refused(copied_models: Path) -> None:
    path = copied_models / MANIFEST_NAME
    content = json.loads(path.read_text())
    del content["networks"]["scout"]
    path.write_text(json.dumps(content))
    with pytest.raises(ModelError, match="scout"):
        load_models(copied_models)


def test_a_file_with_the_right_hash_that_is_no_network_is_refused(copied_models: Path) -> None:
    file = copied_models / "scout.onnx"
    file.write_bytes(b"not a network")
    path = copied_models / MANIFEST_NAME
    content = json.loads(path.read_text())
    content["networks"]["scout"]["sha256"] = sha256_of(file)
    path.write_text(json.dumps(content))
    with pytest.raises(ModelError, match=r"scout\.onnx cannot be opened"):
        load_models(copied_models)


def test_the_shipped_networks_are_small_and_have_cards_with_their_hash() -> None:
    manifest = read_manifest(PACKAGE_DIRECTORY)
    files = [PACKAGE_DIRECTORY / entry.file for entry in manifest.networks.values()]
    assert sum(path.stat().st_size for path in files) < MOST_BYTES_TOGETHER
    for name, entry in manifest.networks.items():
        card = (PACKAGE_DIRECTORY / "cards" / f"{name}.md").read_text(encoding="utf-8")
        assert entry.sha256 in card
        assert "Research use only" in card
        assert entry.scores
