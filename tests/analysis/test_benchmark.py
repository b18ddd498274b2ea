"""What ``leukolux bench`` measures and prints; how fast this machine is, is no matter here."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from drawn_smear import (
    BLANK_COUNTS,
    TILE_SHAPE,
    DrawnClassifier,
    DrawnScout,
    DrawnSegmenter,
    DrawnSmear,
    drawn_models,
)

from device.analysis.flatfield import Background
from device.analysis.registry import CellRegistry
from device.laboratory.benchmark import fresh_process, run
from device.laboratory.benchmark.baseline import (
    PaperCost,
    PaperNetwork,
    Speed,
    measure_ceilings,
    measure_networks,
    measure_paper,
)
from device.laboratory.benchmark.cost import (
    StepCost,
    ThreadedRun,
    measure_steps,
    measure_threads,
)
from device.laboratory.benchmark.fresh_process import (
    BenchmarkError,
    FreshProcess,
    measure_fresh_process,
)
from device.laboratory.benchmark.report import BARS, Benchmark
from device.laboratory.benchmark.step_times import StepTimes
from device.laboratory.benchmark.stored_tiles import StoredTiles, store
from device.settings.sections import AnalysisConfig
from models.reference.architectures import READINGS
from webui.cli.main import cli

CELLS_UM = ((40.0, 40.0), (70.0, 60.0), (120.0, 60.0))
STEPS = ("flat field", "quality", "scout", "segment", "post-process", "classify", "registration")


class Stopwatch:
    """A CPU clock that stands still unless somebody works."""

    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s

    def work(self, ms):
        self.now_s += ms / 1e3


@pytest.fixture
def clock():
    return Stopwatch()


@pytest.fixture
def tiles(tmp_path):
    smear = DrawnSmear()
    for x_um, y_um in CELLS_UM:
        smear.white_cell(x_um, y_um)
    smear.red_cells(150, seed=1)
    background = Background(np.full(TILE_SHAPE, BLANK_COUNTS, np.float32), 4095)
    return store(tmp_path, background, [smear.tile(i, 45 + 50 * i, 50) for i in range(3)])


@pytest.fixture
def benchmark():
    """A run with round numbers."""

    def paper(letter, patch_ms):
        networks = {
            name: PaperNetwork(23_600_000, 18_000_000_000, patch_ms)
            for name in ("cell mask", "nucleus mask", "stain generator")
        }
        return PaperCost(letter, 2, networks)

    steps_ms = dict(zip(STEPS, (2.0, 1.0, 12.0, 2.0, 1.0, 1.0, 1.0), strict=True))
    return Benchmark(
        steps=StepCost(tiles=50, cells=16, steps_ms=steps_ms),
        threaded=ThreadedRun(threads=2, tiles=50, wall_s=0.6),
        fresh=FreshProcess((1.5, 1.1, 1.2), tiles=50, cells=16, peak_memory_mb=301.0),
        papers={"A": paper("A", 1000.0), "B": paper("B", 400.0)},
        ceilings={"int8": Speed(1_000_000_000, 4.0), "fp32": Speed(1_000_000_000, 20.0)},
        networks={
            "scout": Speed(2_000_000_000, 10.0),
            "segmenter": Speed(200_000_000, 2.0),
            "classifier": Speed(100_000_000, 0.4),
        },
        machine={"cores": "2", "onnxruntime": "1.2.3"},
    )


def test_all_time_is_booked_on_the_step_it_was_spent_in(clock):
    step_times = StepTimes(clock)
    clock.work(5)
    for step, ms in (("one", 2), ("two", 3), ("one", 4)):
        step_times.enter(step)
        clock.work(ms)
    step_times.stop()
    clock.work(7)
    step_times.stop()
    assert step_times.spent_ms == pytest.approx({"one": 6, "two": 3})


def test_the_steps_of_a_tile_add_up_to_the_whole_with_registration(tiles, clock, monkeypatch):
    def slow(owner, name, ms):
        plain = getattr(owner, name)

        def worked(*args, **options):
            clock.work(ms)
            return plain(*args, **options)

        monkeypatch.setattr(owner, name, worked)

    slow(DrawnScout, "find", 12)
    slow(DrawnSegmenter, "segment", 3)
    slow(DrawnClassifier, "classify", 2)
    slow(Background, "blank_transmission", 4)
    slow(CellRegistry, "add", 5)
    slow(sys.modules["device.analysis.tile_analyzer"], "assess", 1)
    slow(sys.modules["device.analysis.cell_finder"], "central_cell", 6)
    cost = measure_steps(tiles, drawn_models(), AnalysisConfig(), clock)
    # One tile shows cells one and two, the next two and three, the last three.
    outlines = 5 / 3
    expected = (4, 1, 12, 3, 6 * outlines, 2, 5)
    assert tuple(cost.steps_ms) == STEPS
    assert tuple(cost.steps_ms.values()) == pytest.approx(expected)
    assert cost.whole_ms == pytest.approx(sum(expected))
    assert (cost.tiles, cost.cells) == (3, len(CELLS_UM))


def test_threads_go_through_all_tiles(tiles):
    ran = measure_threads(
        list(tiles), tiles.background, [drawn_models(), drawn_models()], AnalysisConfig()
    )
    assert (ran.threads, ran.tiles) == (2, 3)
    assert ran.wall_s > 0
    assert ran.hundred_tiles_s == pytest.approx(ran.wall_s * 100 / 3)


def test_stored_tiles_come_back_as_they_were(tmp_path, tiles):
    again = StoredTiles(tmp_path)
    assert len(again) == 3
    assert [tile.sequence for tile in again] == [0, 1, 2]
    first = next(iter(again))
    assert (first.x_um, first.pixel_um, first.full_scale) == (45, 0.165, 4095)
    assert first.pixels.dtype == np.uint16
    assert np.array_equal(first.pixels, next(iter(tiles)).pixels)
    assert np.array_equal(again.background.mean, tiles.background.mean)
    assert again.background.full_scale == tiles.background.full_scale


@pytest.mark.slow
def test_a_fresh_process_analyses_the_tiles_alone(tmp_path, tiles):
    start_s = time.monotonic()
    fresh = measure_fresh_process(tmp_path, len(tiles), starts=1)
    (cold_start_s,) = fresh.cold_starts_s
    assert 0 < cold_start_s < time.monotonic() - start_s
    assert fresh.tiles == 3
    assert fresh.peak_memory_mb > 10


def test_the_peak_of_a_process_does_not_begin_at_that_of_its_parent():
    ballast = np.ones(400_000_000, np.uint8)
    program = (
        "from device.laboratory.benchmark.memory import peak_memory_mb; print(peak_memory_mb())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert 1 < float(done.stdout) < ballast.nbytes / 1e6


def test_a_process_that_fails_is_an_anticipated_failure(tmp_path, monkeypatch):
    monkeypatch.setattr(fresh_process, "_PROGRAM", "no_such_program")
    with pytest.raises(BenchmarkError, match="ended with exit code 1"):
        measure_fresh_process(tmp_path, 1, starts=1)


def test_patches_of_the_paper_s_networks_are_timed_after_one_that_warms_up(clock, monkeypatch):
    runs = []

    class Graph:
        def run(self):
            runs.append(1)
            clock.work(100.0 * len(runs))

    monkeypatch.setattr(
        "device.laboratory.benchmark.baseline.open_network", lambda network, seed: Graph()
    )
    cost = measure_paper(READINGS[1], 2, clock)
    times_ms = [network.patch_ms for network in cost.networks.values()]
    assert times_ms == pytest.approx([250, 550, 850])
    assert cost.tile_ms == pytest.approx(9 * (250 + 550 + 850))
    assert cost.gops == pytest.approx(2 * 3 * 18.1 / 1.65, rel=0.01)


@pytest.mark.slow
def test_ceilings_and_shipped_networks_run_on_this_machine():
    ceilings, networks = measure_ceilings(runs=1), measure_networks(runs=1)
    assert set(ceilings) == {"int8", "fp32"}
    assert set(networks) == {"scout", "segmenter", "classifier"}
    assert all(speed.gops > 0 for speed in [*ceilings.values(), *networks.values()])


def test_ratios_are_those_of_cpu_times(benchmark):
    assert benchmark.times_cheaper("B") == pytest.approx(9 * 3 * 400 / 20)
    assert benchmark.times_cheaper("A") == pytest.approx(9 * 3 * 1000 / 20)
    assert benchmark.figures == pytest.approx(
        {
            "times_cheaper": 540,
            "tile_cpu_ms": 20,
            "hundred_tiles_s": 1.2,
            "peak_memory_mb": 301,
            "cold_start_s": 1.2,
        }
    )


def test_the_first_line_is_the_ratio_to_the_cheaper_reading(benchmark):
    first, second = benchmark.table().splitlines()[:2]
    assert first.startswith("The whole analysis is 540 times cheaper in CPU time than the paper's")
    for words in ("reading B, FP32", "9 patches of 512x512", "from 2 timed patches"):
        assert words in first
    assert second == "Reading A: 1350 times."


def test_every_figure_stands_beside_its_bar(benchmark):
    table = benchmark.table()
    for line in (
        r"540 times cheaper .*; at least 300 times: met\.",
        r"CPU time per tile +20\.0 ms +at most 30 ms: met",
        r"100 tiles, 2 worker threads +1\.20 s +at most 2 s: met",
        r"peak memory .* 301 MB +at most 300 MB: not met",
        r"cold start .* 1\.20 s +at most 2 s: met",
        r"50 with 16 white cells, 0\.32 a tile",
        r"A cell mask +23\.60 M parameters +18\.0 GMAC +1000 ms a patch",
        r"B all three, 9 patches: 10\.80 CPU-s a tile, 0\.90 of the FP32 ceiling",
        r"INT8 +500 GOPS",
        r"FP32 +100 GOPS",
        r"scout +2000 MMAC +10\.00 ms +400 GOPS, 0\.80 of the INT8 ceiling",
        r"segmenter +200 MMAC +2\.00 ms +200 GOPS, 0\.40 of the INT8 ceiling",
        r"classifier +100 MMAC +0\.40 ms +500 GOPS, 1\.00 of the INT8 ceiling",
        r"cores 2, onnxruntime 1\.2\.3",
    ):
        assert re.search(line, table), line


def test_the_shares_of_the_steps_are_printed_and_make_a_whole(benchmark):
    shares = dict(re.findall(r"^  (\S.*?) +(\d+\.\d)%", benchmark.table(), re.MULTILINE))
    assert tuple(shares) == STEPS
    assert shares["scout"] == "60.0"
    assert sum(map(float, shares.values())) == pytest.approx(100.0)


def test_a_bar_knows_which_side_is_good():
    assert BARS["times_cheaper"].met(300)
    assert not BARS["times_cheaper"].met(299)
    assert BARS["tile_cpu_ms"].met(30)
    assert not BARS["tile_cpu_ms"].met(30.1)


@pytest.mark.slow
def test_the_command_writes_what_it_prints_as_json(benchmark, tmp_path, monkeypatch):
    for name, measured in (
        ("measure_paper", lambda reading, patches: benchmark.papers[reading.letter]),
        ("measure_ceilings", lambda: benchmark.ceilings),
        ("measure_networks", lambda: benchmark.networks),
        ("measure_fresh_process", lambda folder, tiles, starts: benchmark.fresh),
    ):
        monkeypatch.setattr(run, name, measured)
    path = tmp_path / "bench.json"
    done = CliRunner().invoke(
        cli, ["bench", "--tiles", "2", "--json", str(path)], catch_exceptions=False
    )
    assert done.exit_code == 0
    figures = json.loads(path.read_text(encoding="utf-8"))
    assert figures["analysis"]["tiles"] == 2
    whole_ms = figures["analysis"]["whole_ms"]
    assert sum(figures["analysis"]["steps_ms"].values()) == pytest.approx(whole_ms)
    assert figures["times_cheaper"]["B"] == pytest.approx(9 * 3 * 400 / whole_ms)
    assert figures["figures"]["peak_memory_mb"] == {
        "value": 301.0,
        "met": False,
        "limit": 300.0,
        "unit": "MB",
        "at_least": False,
    }
    assert figures["networks"]["scout"]["of_int8_ceiling"] == pytest.approx(0.8)
    assert f"{figures['times_cheaper']['B']:.0f} times cheaper" in done.stdout


@pytest.mark.slow
def test_the_whole_benchmark_runs(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    done = CliRunner().invoke(
        cli,
        ["bench", "--tiles", "3", "--patches", "1", "--json", str(path)],
        catch_exceptions=False,
    )
    assert done.exit_code == 0
    figures = json.loads(path.read_text(encoding="utf-8"))
    assert set(figures["figures"]) == set(BARS)
    assert all(figure["value"] > 0 for figure in figures["figures"].values())
    assert figures["times_cheaper"]["A"] > figures["times_cheaper"]["B"]
