"""An installed wheel is whole: networks, pages and texts are inside it, and it runs elsewhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

PROGRAM = """
import sys
from pathlib import Path
site = Path(sys.argv[1])
sys.path.insert(0, str(site))
import models, webui
assert Path(models.__file__).is_relative_to(site), models.__file__
from click.testing import CliRunner
from models.reference.sessions import FOLDER as graphs
from models.runtime import load_models
from webui.catalogue import __file__ as catalogue
from webui.cli.main import cli
assert set(load_models().versions) == {"scout", "segmenter", "classifier", "runtime"}
assert Path(catalogue).is_relative_to(site)
for name in ("templates/base.html", "static/screen.css", "text/en.json"):
    assert (site / "webui" / name).is_file(), name
assert (graphs / "reading_b_mask.onnx").is_file()
assert len(list((site / "hal" / "sim" / "gentl" / "producer").glob("*.[ch]"))) == 9
scan = ["scan", "--sim", "--speed", "50", "--target-cells", "3", "--json", "-"]
print(CliRunner().invoke(cli, scan, catch_exceptions=False).output)
"""


@pytest.mark.slow
def test_a_wheel_scans_a_sample_away_from_the_checkout(tmp_path: Path) -> None:
    source = tmp_path / "source"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(source)], check=True)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(tmp_path), str(source)],
        check=True,
    )
    (wheel,) = tmp_path.glob("leukolux-*.whl")
    site = tmp_path / "site"
    subprocess.run([*pip, "install", "--no-deps", "--target", str(site), str(wheel)], check=True)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(site)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert '"state": "complete"' in done.stdout
