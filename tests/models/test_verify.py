"""The known-answer test passes what is the same network and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from click.testing import CliRunner
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from models.answers import COMPARE, KINDS, compare_scout, compare_stainer, cut
from models.errors import AnswerError, ModelError
from models.manifest import Manifest, NetworkEntry, read_manifest, sha256_of, write_manifest
from models.runtime import CASCADE, PACKAGE_DIRECTORY
from models.session import Network
from models.train.release.known_answers import FILE_NAME, write
from models.train.release.known_answers import KINDS as CELL_KINDS
from models.verify import examine, load_tested_models, open_model, read_answers, verify
from webui.cli.main import cli

MOST_BYTES = 300_000
THRESHOLDS = {f"scout_{kind}_threshold": np.array(0.2) for kind in KINDS}
Bytes = NDArray[np.uint8]


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return read_manifest(PACKAGE_DIRECTORY)


@pytest.fixture(scope="module")
def answers(manifest: Manifest) -> dict[str, NDArray[Any]]:
    return dict(read_answers(PACKAGE_DIRECTORY, manifest))


def change_manifest(folder: Path, name: str, **changes: object) -> None:
    manifest = read_manifest(folder)
    entry = manifest.networks[name].model_copy(update=changes)
    networks = {**manifest.networks, name: entry}
    write_manifest(folder, manifest.model_copy(update={"networks": networks}))


def test_the_shipped_networks_answer_as_they_did() -> None:
    reports = verify()
    assert {report.name for report in reports} >= set(CASCADE)
    for report in reports:
        assert report.verdict.ok, report
        assert report.size_bytes == (PACKAGE_DIRECTORY / report.file).stat().st_size
        assert report.verdict.time_ms > 0


def test_the_shipped_questions_are_small_and_show_every_kind_of_cell(
    manifest: Manifest, answers: dict[str, NDArray[Any]]
) -> None:
    assert (PACKAGE_DIRECTORY / FILE_NAME).stat().st_size <= MOST_BYTES
    seen = set(answers["classifier_classes"][answers["classifier_probabilities"].argmax(1)])
    assert seen >= set(CELL_KINDS)
    assert all(len(answers[f"scout_{kind}"]) > 0 for kind in KINDS)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*CASCADE, "stainer"])
def test_other_arithmetic_of_the_same_weights_passes(
    manifest: Manifest, answers: dict[str, NDArray[Any]], name: str
) -> None:
    model = open_model(PACKAGE_DIRECTORY, name, manifest)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    path = PACKAGE_DIRECTORY / manifest.networks[name].file
    # Without fusion everything between two quantisations runs in floating point, as on CUDA.
    model._network._session = onnxruntime.InferenceSession(
        path, options, providers=["CPUExecutionProvider"]
    )
    assert examine(name, model, answers).ok


def darker(images: Bytes) -> Bytes:
    return (images * 0.9).astype(np.uint8)


def brighter(images: Bytes) -> Bytes:
    return np.clip(images + 10.0, 0, 255).astype(np.uint8)


def rolled(images: Bytes) -> Bytes:
    return np.roll(images, 1, axis=-1)


@pytest.mark.slow
@pytest.mark.parametrize("wrong", [darker, brighter, rolled])
@pytest.mark.parametrize("name", CASCADE)
def test_images_prepared_otherwise_do_not_pass(
    manifest: Manifest,
    answers: dict[str, NDArray[Any]],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    wrong: Callable[[Bytes], Bytes],
) -> None:
    model = open_model(PACKAGE_DIRECTORY, name, manifest)
    run = model._network.run
    monkeypatch.setattr(model._network, "run", lambda images: run(wrong(images)))
    assert not examine(name, model, answers).ok


def test_a_wrong_temperature_does_not_pass(copied_models: Path) -> None:
    change_manifest(copied_models, "classifier", parameters={"temperature": 2.0, "threshold": 0.5})
    verdicts = {report.name: report.verdict.ok for report in verify(copied_models)}
    assert verdicts == {**dict.fromkeys(read_manifest(copied_models).networks, True)} | {
        "classifier": False
    }


def test_other_outlines_do_not_pass_and_stop_the_instrument(
    copied_models: Path, change_answers: Callable[..., None]
) -> None:
    answers = read_answers(copied_models, read_manifest(copied_models))
    shifted = np.roll(answers["segmenter_masks"], 3, axis=-1)
    change_answers(copied_models, segmenter_masks=shifted)
    with pytest.raises(AnswerError, match="segmenter on CPU") as caught:
        load_tested_models(directory=copied_models)
    assert caught.value.error_code == "MODEL-ANSWER"


def test_tested_networks_are_the_shipped_ones() -> None:
    assert set(load_tested_models("cpu").versions) == {*CASCADE, "runtime"}


def test_a_damaged_network_is_named_and_the_others_are_still_tested(copied_models: Path) -> None:
    (copied_models / "scout.onnx").write_bytes(b"damaged")
    (copied_models / "classifier.onnx").unlink()
    reports = {report.name: report for report in verify(copied_models)}
    assert "hash" in reports["scout"].verdict.detail
    assert reports["classifier"].size_bytes == 0
    assert not reports["classifier"].verdict.ok
    assert reports["segmenter"].verdict.ok


def test_a_network_without_recorded_answers_does_not_pass(copied_models: Path) -> None:
    manifest = read_manifest(copied_models)
    networks = {**manifest.networks, "counter": manifest.networks["scout"]}
    write_manifest(copied_models, manifest.model_copy(update={"networks": networks}))
    verdicts = {report.name: report.verdict for report in verify(copied_models)}
    assert [name for name, verdict in verdicts.items() if not verdict.ok] == ["counter"]
    assert "no answer" in verdicts["counter"].detail


@pytest.mark.parametrize("damage", ["unlisted", "missing", "changed", "no archive"])
def test_known_answers_that_cannot_be_trusted_are_an_error(
    copied_models: Path, damage: str
) -> None:
    path = copied_models / FILE_NAME
    manifest = read_manifest(copied_models)
    assert manifest.known_answers is not None
    if damage == "unlisted":
        write_manifest(copied_models, manifest.model_copy(update={"known_answers": None}))
    elif damage == "missing":
        path.unlink()
    else:
        path.write_bytes(b"something else")
    if damage == "no archive":
        file = manifest.known_answers.model_copy(update={"sha256": sha256_of(path)})
        write_manifest(copied_models, manifest.model_copy(update={"known_answers": file}))
    with pytest.raises(ModelError, match=r"known answers|known_answers\.npz"):
        verify(copied_models)


@pytest.mark.slow
def test_what_is_written_is_what_the_networks_answer(copied_models: Path) -> None:
    manifest = read_manifest(copied_models).model_copy(update={"known_answers": None})
    written = write(copied_models, manifest)
    write_manifest(copied_models, written)
    assert written.known_answers is not None
    assert written.known_answers.sha256 == sha256_of(copied_models / FILE_NAME)
    assert all(report.verdict.ok for report in verify(copied_models))


def test_squares_beyond_the_border_are_blank_glass() -> None:
    image = np.arange(100, dtype=np.uint8).reshape(10, 10)
    inside, corner = cut(image, np.array([[5, 5], [0, 0]]), 4)
    assert np.array_equal(inside, image[3:7, 3:7])
    assert np.array_equal(corner[2:, 2:], image[:2, :2])
    assert (corner[:2] == 220).all()


centres = hnp.arrays(np.float32, (12, 3), elements=st.floats(0, 1, width=32)).map(
    lambda shares: shares * np.array([300, 300, 1], np.float32)
)


@given(centres, st.randoms(use_true_random=False))
def test_the_order_of_centres_does_not_matter(found: NDArray[np.float32], random: Any) -> None:
    order = list(range(len(found)))
    random.shuffle(order)
    then = {f"scout_{kind}": found for kind in KINDS} | THRESHOLDS
    now = {f"scout_{kind}": found[order] for kind in KINDS}
    # Two centres within reach of each other may answer for one another.
    near = np.linalg.norm(found[:, None, :2] - found[None, :, :2], axis=2) + 99 * np.eye(len(found))
    if near.min() > 6:
        assert compare_scout(then, now)[0]


@given(centres)
def test_lost_centres_do_not_pass(found: NDArray[np.float32]) -> None:
    then = {f"scout_{kind}": found for kind in KINDS} | THRESHOLDS
    now = dict.fromkeys((f"scout_{kind}" for kind in KINDS), found[:0])
    assume(not np.isclose(found[:, 2], 0.35).any())
    assert compare_scout(then, now)[0] == (not (found[:, 2] > 0.35).any())


@pytest.mark.parametrize("name", ["segmenter", "classifier", "stainer"])
def test_answers_of_another_shape_do_not_pass(name: str) -> None:
    key = {"segmenter": "masks", "classifier": "probabilities", "stainer": "rgb"}[name]
    some, other = np.zeros((2, 2, 8, 8), np.uint8), np.zeros((1, 2, 8, 8), np.uint8)
    assert not COMPARE[name]({f"{name}_{key}": some}, {f"{name}_{key}": other})[0]


def test_another_colour_does_not_pass() -> None:
    picture = np.full((8, 8, 3), 200, np.uint8)
    rounded = picture.copy()
    rounded[0] += 1
    assert compare_stainer({"stainer_rgb": picture}, {"stainer_rgb": rounded})[0]
    assert not compare_stainer({"stainer_rgb": picture}, {"stainer_rgb": picture + 1})[0]


def run(*words: str) -> Any:
    return CliRunner().invoke(cli, ["models", "verify", *words])


def test_the_command_shows_every_network_and_ends_with_0() -> None:
    result = run()
    assert result.exit_code == 0
    for entry in read_manifest(PACKAGE_DIRECTORY).networks.values():
        (line,) = [line for line in result.output.splitlines() if entry.file in line]
        assert entry.sha256[:12] in line
        assert " ok " in line


def test_the_command_ends_with_4_when_a_network_is_damaged(copied_models: Path) -> None:
    (copied_models / "segmenter.onnx").write_bytes(b"damaged")
    result = run("--directory", str(copied_models), "--json", str(copied_models / "report.json"))
    assert result.exit_code == 4
    assert "MODEL-VERIFY-FAILED: segmenter: segmenter.onnx has hash" in result.output
    document = json.loads((copied_models / "report.json").read_text(encoding="utf-8"))
    assert {row["name"]: row["verdict"]["ok"] for row in document}["segmenter"] is False


def test_a_folder_without_networks_ends_with_4(tmp_path: Path) -> None:
    result = run("--directory", str(tmp_path))
    assert result.exit_code == 4
    assert "manifest.json cannot be read" in result.output


def test_networks_that_do_not_count_are_never_opened_for_counting(
    copied_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    init = Network.__init__

    def watch(self: Network, directory: Path, entry: NetworkEntry, *more: Any) -> None:
        opened.append(entry.file)
        init(self, directory, entry, *more)

    manifest = read_manifest(copied_models)
    entry = manifest.networks["scout"].model_copy(update={"file": "absent.onnx"})
    networks = {**manifest.networks, "stainer": entry}
    write_manifest(copied_models, manifest.model_copy(update={"networks": networks}))
    monkeypatch.setattr(Network, "__init__", watch)
    models = load_tested_models(directory=copied_models)
    assert sorted(opened) == ["classifier.onnx", "scout.onnx", "segmenter.onnx"]
    assert "stainer" not in models.versions
