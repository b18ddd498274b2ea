"""``make run`` and ``make test`` on a modest computer: they mend what was left half made.

The virtual environment is real, made by the Python that runs the tests; pip, ensurepip, pytest and
the program in it are stand-ins that do what the variable BEHAVIOUR says, without a network.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BASE_PYTHON = Path(sys.base_prefix, "bin", f"python{sys.version_info[0]}.{sys.version_info[1]}")
PACKAGES = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"

# Stands for python3: makes the virtual environment without its seconds for pip.
PYTHON = """#!/bin/sh
[ "$BEHAVIOUR" = too-old ] && [ "$1" = -c ] && exec {base} -c "import sys
sys.version_info = (3, 9, 2)
$2"
[ "$BEHAVIOUR" = no-ensurepip ] && [ "$1" = -c ] && exec {base} -c "import sys
sys.modules['ensurepip'] = None
$2"
[ "$1" = -m ] && echo "python $*" >>{calls}
{base} "$@" || exit
for last; do :; done
if [ "$1" = -m ]; then
    echo 'import sys; sys.path.insert(0, "{stand_ins}")' >"$last/{packages}/a.pth"
    [ "$BEHAVIOUR" != "killed in venv" ] || {{ rm "$last/pyvenv.cfg"; kill -KILL -$PPID; }}
fi
"""
STAND_INS = {
    "ensurepip.py": """
import os, signal, sys
from pathlib import Path
package = Path(sys.prefix, "lib", f"python{sys.version_info[0]}.{sys.version_info[1]}",
               "site-packages", "pip")
package.mkdir()
(package / "__init__.py").touch()
if os.environ["BEHAVIOUR"] == "killed in ensurepip":
    os.killpg(0, signal.SIGKILL)
(package / "__main__.py").write_text("import pip_stand_in")
Path(sys.prefix, "bin", "pip").write_text("#!" + sys.executable)
""",
    "pip_stand_in.py": """
import os, signal, sys
from pathlib import Path
behaviour = os.environ["BEHAVIOUR"]
with open(r"{calls}", "a") as calls:
    print("pip", *sys.argv[1:], file=calls)
if behaviour == "killed in pip":
    os.killpg(0, signal.SIGKILL)
if behaviour == "Ctrl-C in pip":
    os.killpg(0, signal.SIGINT)
    signal.pause()
if behaviour.startswith("pip says"):
    Path(sys.argv[sys.argv.index("--log") + 1]).write_text(behaviour)
    sys.exit(behaviour)
print("Downloading numpy-2.0-py3-none-any.whl (18.0 MB)")
program = Path(sys.prefix, "bin", "leukolux")
program.write_text('#!/bin/sh\\necho "the instrument starts: $*"\\n')
program.chmod(0o755)
""",
    "pytest.py": 'print("the tests run")',
}


@dataclass
class Answer:
    """How make ended, what it said, and what it called."""

    code: int
    said: str
    calls: list[str]

    def installs(self) -> int:
        return sum(call.startswith("pip ") for call in self.calls)

    def makes(self) -> int:
        return sum("-m venv" in call for call in self.calls)


class Checkout:
    """A folder with what the set-up needs, and stand-ins in a folder next to it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "check out"
        (self.path / ".ci").mkdir(parents=True)
        for name in ("Makefile", "pyproject.toml", ".ci/setup"):
            shutil.copy(ROOT / name, self.path / name)
        self.python = folder / "python3"
        self._calls = folder / "calls"
        stand_ins = folder / "stand-ins"
        stand_ins.mkdir()
        for name, text in STAND_INS.items():
            (stand_ins / name).write_text(text.replace("{calls}", str(self._calls)))
        words = {
            "base": BASE_PYTHON,
            "calls": self._calls,
            "stand_ins": stand_ins,
            "packages": PACKAGES,
        }
        self.python.write_text(PYTHON.format(**words))
        self.python.chmod(0o755)

    def begin(self, target: str, behaviour: str = "", **variables: str) -> subprocess.Popen[str]:
        """Run make in a process group of its own, which a stand-in may end as Ctrl-C would."""
        self._calls.write_text("")
        inherited = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith(("PIP_", "MAKE", "MFLAGS", "ARGS"))
        }
        return subprocess.Popen(
            # A shell that starts the tests in the background has them ignore Ctrl-C.
            ["env", "--default-signal=INT", "make", target],
            cwd=self.path,
            env={**inherited, "PYTHON": str(self.python), "BEHAVIOUR": behaviour, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def end(self, make: subprocess.Popen[str]) -> Answer:
        """Wait until make ends."""
        said, _ = make.communicate()
        return Answer(make.returncode, said, self._calls.read_text().splitlines())

    def make(self, target: str, behaviour: str = "", **variables: str) -> Answer:
        """Run make to its end."""
        return self.end(self.begin(target, behaviour, **variables))


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_it_says_what_it_does_and_how_much_and_does_it_once(checkout: Checkout) -> None:
    first = checkout.make("run")
    assert "step 1 of 2: making .venv" in first.said
    assert "about 600 MB (1 to 10 minutes)" in first.said
    assert "Downloading numpy" in first.said
    assert first.said.endswith("the instrument starts: run --sim\n")
    second = checkout.make("run")
    assert second.calls == []
    assert second.said == ".venv/bin/leukolux run --sim \nthe instrument starts: run --sim\n"


def test_the_tests_need_more_and_include_what_the_program_needs(checkout: Checkout) -> None:
    assert checkout.make("run").installs() == 1
    tests = checkout.make("test")
    assert tests.calls[-1].endswith("install --editable .[dev]")
    assert tests.said.endswith("the tests run\n")
    assert checkout.make("run").calls == []


def test_changed_requirements_are_installed_into_what_is_there(checkout: Checkout) -> None:
    checkout.make("run")
    later_ns = (checkout.path / ".venv/.run").stat().st_mtime_ns + 1_000_000_000
    os.utime(checkout.path / "pyproject.toml", ns=(later_ns, later_ns))
    again = checkout.make("run")
    assert (again.makes(), again.installs()) == (0, 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "moment", ["killed in venv", "killed in ensurepip", "killed in pip", "Ctrl-C in pip"]
)
def test_a_set_up_that_was_killed_is_begun_again_by_itself(checkout: Checkout, moment: str) -> None:
    assert checkout.make("run", moment).code != 0
    again = checkout.make("run")
    assert (again.code, again.makes(), again.installs()) == (0, 1, 1)
    assert "making it again" in again.said
    assert again.said.endswith("the instrument starts: run --sim\n")


def empty(venv: Path) -> None:
    shutil.rmtree(venv)
    venv.mkdir()


def file(venv: Path) -> None:
    shutil.rmtree(venv)
    venv.touch()


def python_gone(venv: Path) -> None:
    for name in (venv / "bin").glob("python*"):
        name.unlink()
    (venv / "bin/python").symlink_to("/nowhere/python3")


def python_does_not_start(venv: Path) -> None:
    (venv / "bin/python").unlink()
    (venv / "bin/python").write_text("#!/nowhere/python3\n")
    (venv / "bin/python").chmod(0o755)


def other_python(venv: Path) -> None:
    """As after an upgrade of the system: the packages lie in the folder of the former version."""
    (venv / "lib").rename(venv / "former")


def no_pip(venv: Path) -> None:
    shutil.rmtree(venv / PACKAGES / "pip")


def package_gone(venv: Path) -> None:
    """Its list of files is still there."""
    listed = venv / PACKAGES / "numpy-2.0.0.dist-info"
    listed.mkdir()
    (listed / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 2.0.0\n")
    (listed / "RECORD").write_text("numpy/linalg/__init__.py,,\nnumpy/__pycache__/a.pyc,,\n")


def not_isolated(venv: Path) -> None:
    """Whatever is installed by this one goes into the system."""
    (venv / "pyvenv.cfg").unlink()


@pytest.mark.slow
def test_a_damaged_environment_is_made_again(checkout: Checkout) -> None:
    checkout.make("run")
    for damage in (
        empty,
        file,
        python_gone,
        python_does_not_start,
        other_python,
        no_pip,
        package_gone,
        not_isolated,
    ):
        damage(checkout.path / ".venv")
        again = checkout.make("run")
        assert (again.code, again.makes(), again.installs()) == (0, 1, 1), damage.__name__
        assert "making it again" in again.said, damage.__name__


def test_an_environment_that_was_moved_is_made_again(checkout: Checkout) -> None:
    checkout.make("run")
    checkout.path = checkout.path.rename(checkout.path.with_name("elsewhere"))
    assert checkout.make("run").makes() == 1


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        ("too-old", ["is Python 3.9; 3.11 or newer is needed", "make PYTHON="]),
        (
            "no-ensurepip",
            [f"sudo apt install python{sys.version_info[0]}.{sys.version_info[1]}-venv"],
        ),
    ],
)
def test_an_unfit_python_is_refused_before_anything_is_made(
    checkout: Checkout, behaviour: str, said: list[str]
) -> None:
    answer = checkout.make("run", behaviour)
    assert answer.code != 0
    assert all(part in answer.said for part in said), answer.said
    assert not (checkout.path / ".venv").exists()


def test_a_missing_python_is_told(checkout: Checkout) -> None:
    answer = checkout.make("run", PYTHON="python3.99")
    assert answer.code != 0
    assert "There is no program python3.99" in answer.said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said", "made_again"),
    [
        ("NewConnectionError: [Errno -3]", "The package index cannot be reached.", 0),
        ("No matching distribution found for scipy", "There is no package for Python 3", 0),
        ("OSError: [Errno 28] No space left on device", "The disk is full: ", 1),
        ("error: metadata-generation-failed", "A step failed for the reason above", 1),
    ],
)
def test_a_failure_of_pip_names_its_cause_and_is_mended_by_repeating(
    checkout: Checkout, words: str, said: str, made_again: int
) -> None:
    failed = checkout.make("run", f"pip says {words}")
    assert failed.code != 0
    assert f"pip says {words}" in failed.said
    assert f"set-up failed: {said}" in failed.said
    again = checkout.make("run")
    assert (again.code, again.makes(), again.installs()) == (0, made_again, 1)


def test_a_disk_without_room_is_told_before_the_download(
    checkout: Checkout, tmp_path: Path
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "df").write_text("#!/bin/sh\necho head\necho disk 9000000 1 102400 99% /\n")
    (programs / "df").chmod(0o755)
    answer = checkout.make("run", PATH=f"{programs}:{os.environ['PATH']}")
    assert answer.code != 0
    assert "The disk is full: 100 MB are free here" in answer.said
    assert answer.calls == []


def test_a_second_set_up_waits_for_the_first(checkout: Checkout) -> None:
    with (checkout.path / "pyproject.toml").open() as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        second = checkout.begin("run")
        assert second.stdout is not None
        assert "waiting for another set-up" in second.stdout.readline()
        assert not (checkout.path / ".venv").exists()
    answer = checkout.end(second)
    assert (answer.code, answer.installs()) == (0, 1)


def test_the_script_is_clean() -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is missing")
    said = subprocess.run(
        ["shellcheck", str(ROOT / ".ci/setup")], capture_output=True, text=True, check=False
    )
    assert said.stdout == ""
