"""How the program gets into a release of its own: whole, or not at all.

Entering the new root needs root rights; a stand-in for chroot notes what is asked and does what
the installer's next steps look for.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHROOT = """#!/bin/sh
root=$1
shift
echo "$*" >>"$CALLS"
for last; do :; done
case "$*" in
    *"-m pip "*install*) [ -z "$NO_NETWORK" ] || { echo "no network" >&2; exit 1; } ;;
    *"-m venv "*) mkdir -p "$root$last/bin" ;;
    *" settings --settings "*)
        exec "$REAL_PYTHON" -c 'from webui.cli.main import main; main()' \\
            settings --settings "$root$last" ;;
    *"import onnxruntime") [ -n "$IMAGE_HAS_RUNTIME" ] || exit 1 ;;
    *"bin/python - "*) cat >/dev/null; echo "numpy>=2.0" ;;
    *"bin/python -") cat >/dev/null ;;
esac
"""


class Image:
    """A root that is installed to through the stand-in."""

    def __init__(self, folder: Path, python: Path) -> None:
        self._python = python
        self.path = folder / "root"
        self.path.mkdir()
        self.programs = folder / "bin"
        self.programs.mkdir()
        self.calls = folder / "calls"
        self.wheel = folder / "leukolux-1.0-py3-none-any.whl"
        self.wheel.write_bytes(b"one")
        for name, text in (("chroot", CHROOT), ("id", "#!/bin/sh\necho 1000\n")):
            (self.programs / name).write_text(text, encoding="utf-8")
            (self.programs / name).chmod(0o755)

    def install(self, *words: str, ok: bool = True, **environment: str) -> tuple[str, str]:
        """Run the installer; return what it says and what was run in the root."""
        self.calls.write_text("", encoding="utf-8")
        done = subprocess.run(
            [
                *("sh", str(ROOT / "systemd/install.sh"), "--root", str(self.path)),
                *("--from", str(self.wheel), *words),
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
            env={
                **os.environ,
                "PATH": f"{self.programs}:{os.environ['PATH']}",
                "PYTHONPATH": str(ROOT),
                "CALLS": str(self.calls),
                "REAL_PYTHON": str(self._python),
                "NO_NETWORK": "",
                "IMAGE_HAS_RUNTIME": "",
                **environment,
            },
        )
        said = done.stdout + done.stderr
        assert (done.returncode == 0) is ok, said
        return said, self.calls.read_text(encoding="utf-8")

    @property
    def current(self) -> str:
        return str((self.path / "opt/leukolux/current").readlink())

    @property
    def releases(self) -> set[str]:
        folder = self.path / "opt/leukolux/releases"
        return {f"releases/{path.name}" for path in folder.iterdir()} if folder.exists() else set()


@pytest.fixture
def image(tmp_path: Path, quick_python: Path) -> Image:
    return Image(tmp_path, quick_python)


def test_the_program_goes_into_a_release_and_current_points_to_it(image: Image) -> None:
    _, calls = image.install("--board", "pi")
    assert image.releases == {image.current}
    assert f"pip --quiet --disable-pip-version-check install /opt/leukolux/{image.current}" in calls
    assert "any.whl[genicam,apt,pi]" in calls
    assert f"/opt/leukolux/{image.current}/bin/leukolux models verify --provider cpu" in calls
    assert not (image.path / f"opt/leukolux/{image.current}/source").exists()


def test_the_same_program_again_installs_nothing(image: Image) -> None:
    image.install("--board", "pi")
    before = image.current
    said, calls = image.install("--board", "pi")
    assert "is there already" in said
    assert "-m pip" not in calls
    assert (image.current, image.releases) == (before, {before})


def test_a_new_program_keeps_the_one_before_and_no_other(image: Image) -> None:
    seen = []
    for content in (b"one", b"two", b"three"):
        image.wheel.write_bytes(content)
        image.install("--board", "pi")
        seen.append(image.current)
    assert len(set(seen)) == 3
    assert image.releases == set(seen[1:])


def test_a_new_program_that_cannot_be_installed_leaves_the_old_one(image: Image) -> None:
    image.install("--board", "pi")
    before = image.current
    image.wheel.write_bytes(b"two")
    said, _ = image.install("--board", "pi", ok=False, NO_NETWORK="yes")
    assert "no network" in said
    assert "while installing the program" in said
    assert "nothing was changed" in said
    assert (image.current, image.releases) == (before, {before})


def test_settings_that_the_new_program_refuses_leave_the_old_one(image: Image) -> None:
    image.install("--board", "pi")
    before = image.current
    image.wheel.write_bytes(b"two")
    (image.path / "etc/leukolux/leukolux.toml").write_text("[scan]\nnonsense = 1\n")
    said, _ = image.install("--board", "pi", ok=False)
    assert "scan.nonsense" in said
    assert (image.current, image.releases) == (before, {before})


def test_a_folder_of_packages_is_used_without_a_network(image: Image, tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    packages.mkdir()
    (packages / "numpy.whl").touch()
    _, calls = image.install("--board", "generic", "--find-links", str(packages))
    assert f"--no-index --find-links /opt/leukolux/{image.current}/packages" in calls
    assert not (image.path / f"opt/leukolux/{image.current}/packages").exists()


def test_on_a_jetson_the_onnxruntime_of_the_image_is_kept(image: Image) -> None:
    _, calls = image.install("--board", "jetson", IMAGE_HAS_RUNTIME="yes")
    release = f"/opt/leukolux/{image.current}"
    assert f"-m venv --system-site-packages {release}" in calls
    assert f"install --no-deps {release}/source/{image.wheel.name}\n" in calls
    assert f"install --requirement {release}/requirements.txt" in calls
    requirements = image.path / f"opt/leukolux/{image.current}/requirements.txt"
    assert requirements.read_text(encoding="utf-8") == "numpy>=2.0\n"


def test_a_jetson_without_one_gets_the_registrys_and_is_told(image: Image) -> None:
    said, calls = image.install("--board", "jetson")
    assert "the image has no onnxruntime" in said
    assert "any.whl[genicam,apt,jetson]" in calls
    assert "--system-site-packages" not in calls


def test_a_wheel_of_onnxruntime_takes_the_place_of_the_registrys(
    image: Image, tmp_path: Path
) -> None:
    runtime = tmp_path / "onnxruntime_gpu-1.24-cp312-cp312-linux_aarch64.whl"
    runtime.touch()
    _, calls = image.install("--board", "jetson", "--onnxruntime", str(runtime))
    assert f"install /opt/leukolux/{image.current}/source/{runtime.name}" in calls
    assert "--system-site-packages" not in calls
    assert "install --no-deps" in calls


@pytest.mark.parametrize("runtime", ["tensorrt", "/nowhere/onnxruntime.whl"])
def test_an_onnxruntime_that_is_not_there_is_refused(image: Image, runtime: str) -> None:
    image.install("--board", "jetson", "--onnxruntime", runtime, ok=False)
    assert image.releases == set()
