"""`make mutants`: change one thing in a guarded module at a time, and see whether a test fails.

Each mutant is tested in a copy of the working tree, by a child of this process, which has loaded
the libraries already.  Survivors that survivors.toml does not explain end the command with 1.
"""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import Phase, settings
from mutants import Mutant, mutants_of

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parents[1]
# Not onnxruntime, whose threads do not live through a fork.
LOADED_BEFORE: Final = ("click", "cv2", "hypothesis", "numpy", "pydantic", "scipy.ndimage")
SPARE_S: Final = 20.0
"""A mutant that hangs is killed after three times the time that the tests need, and this."""


@dataclass
class Target:
    """One module, the tests that must notice, and what came of it."""

    name: str
    source: Path
    tests: Sequence[str]
    explained: Sequence[dict[str, Any]]
    mutants: int = 0
    explained_count: int = 0
    unexplained: int = 0
    minutes: float = 0.0
    survived: Counter[tuple[str, str]] = field(default_factory=Counter)

    def explains(self, mutant: Mutant) -> bool:
        """Return whether the list has a reason why this mutant survives.

        An entry with ``times`` explains that many equal lines and no more.
        """
        change = (mutant.before, mutant.after)
        return any(
            (entry["before"], entry["after"]) == change
            and self.survived[change] <= entry.get("times", self.survived[change])
            for entry in self.explained
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="of targets.toml; all by default")
    parser.add_argument("--jobs", type=int, default=2, help="mutants tested at once")
    parser.add_argument("--line", default="", help="only mutants of lines with this text")
    options = parser.parse_args()
    # A library that computes on several threads does not live through a fork.
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    for name in LOADED_BEFORE:
        importlib.import_module(name)
    # The same examples for every mutant, and no search for the smallest that fails.
    phases = (Phase.explicit, Phase.generate)
    settings.register_profile("mutants", phases=phases, derandomize=True, deadline=None)
    settings.load_profile("mutants")
    targets = [target for target in _targets() if target.name in (options.names or [target.name])]
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        trees = [_copy_of_the_tree(Path(folder) / str(number)) for number in range(options.jobs)]
        for target in targets:
            _examine(target, trees, options.line)
    _say(f"{'module':<14}{'mutants':>8}{'killed':>8}{'explained':>10}{'survived':>9}{'minutes':>8}")
    for target in targets:
        killed = target.mutants - target.explained_count - target.unexplained
        counts = f"{target.mutants:>8}{killed:>8}{target.explained_count:>10}"
        _say(f"{target.name:<14}{counts}{target.unexplained:>9}{target.minutes:>8.1f}")
    return int(any(target.unexplained for target in targets))


def _targets() -> list[Target]:
    listed: dict[str, Any] = tomllib.loads((HERE / "targets.toml").read_text(encoding="utf-8"))
    survivors = tomllib.loads((HERE / "survivors.toml").read_text(encoding="utf-8"))
    return [
        Target(name, Path(entry["source"]), entry["tests"], survivors.get(name, []))
        for name, entry in listed.items()
    ]


def _copy_of_the_tree(folder: Path) -> Path:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target)
    return folder


def _examine(target: Target, trees: Sequence[Path], line: str) -> None:
    """Test the mutants of a module, one in each tree at a time."""
    start_s = time.monotonic()
    original = (ROOT / target.source).read_text(encoding="utf-8")
    pid = _start(trees[0], target.tests)
    if os.waitpid(pid, 0)[1] != 0:
        sys.exit(f"{target.name}: the tests fail without any change")
    limit_s = 3.0 * (time.monotonic() - start_s) + SPARE_S
    waiting = [mutant for mutant in mutants_of(original) if line in mutant.before]
    target.mutants = len(waiting)
    _say(f"{target.name}: {target.mutants} mutants, {limit_s:.0f} s each at most")
    running: dict[int, tuple[Mutant, Path, float]] = {}
    free = list(trees)
    while waiting or running:
        while waiting and free:
            mutant, tree = waiting.pop(), free.pop()
            (tree / target.source).write_text(mutant.code, encoding="utf-8")
            running[_start(tree, target.tests)] = (mutant, tree, time.monotonic() + limit_s)
        for pid, (mutant, tree, end_s) in list(running.items()):
            if time.monotonic() > end_s:
                os.killpg(pid, signal.SIGKILL)
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del running[pid]
                free.append(tree)
                if status == 0:
                    _report(target, mutant)
        time.sleep(0.02)
    for tree in trees:
        (tree / target.source).write_text(original, encoding="utf-8")
    target.minutes = (time.monotonic() - start_s) / 60.0


def _report(target: Target, mutant: Mutant) -> None:
    target.survived[mutant.before, mutant.after] += 1
    if target.explains(mutant):
        target.explained_count += 1
        return
    target.unexplained += 1
    _say(f"\n[[{target.name}]]\nbefore = '{mutant.before}'\nafter = '{mutant.after}'")


def _start(tree: Path, tests: Sequence[str]) -> int:
    """Run tests in a child with a group of its own; return its number."""
    pid = os.fork()
    if pid:
        return pid
    os.setpgid(0, 0)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    os.chdir(tree)
    sys.path[0] = str(tree)
    sys.dont_write_bytecode = True
    # For the programs that tests start.
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    # Warnings are errors, and hypothesis was loaded before pytest could look at it.
    loaded = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    code = 1
    try:
        words = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *loaded, *tests]
        code = int(pytest.main(words))
    finally:
        # Whatever happens: a child that returned from here would remove the copies of the tree.
        os._exit(code)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
