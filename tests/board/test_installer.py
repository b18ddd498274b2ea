"""The installer in roots of its own: whole, twice the same, and gone again."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import tomllib
from pathlib import Path

import pytest

from device.settings.file import load_settings

ROOT = Path(__file__).resolve().parents[2]
INSTALLER = ROOT / "systemd/install.sh"
SETTINGS = "etc/leukolux/leukolux.toml"


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """Programs that the installer may use, without those that need root rights or a system."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("systemctl", "shellcheck"):
        if (found := shutil.which(name)) is not None:
            (folder / name).symlink_to(found)
    # Whoever runs the tests: the installer takes itself for an ordinary user.
    script = folder / "id"
    script.write_text("#!/bin/sh\necho 1000\n", encoding="utf-8")
    script.chmod(0o755)
    return folder


class Target:
    """A root that is installed to."""

    def __init__(self, path: Path, plain: Path, python: Path) -> None:
        self.path = path
        self._plain = plain
        self._python = python
        path.mkdir()

    def install(self, *words: str, ok: bool = True) -> str:
        """Run the installer without the program; return what it says."""
        done = subprocess.run(
            [
                *("sh", str(INSTALLER), "--root", str(self.path)),
                *("--no-program", "--python", str(self._python), *words),
            ],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PATH": f"{self._plain}:{os.environ['PATH']}"},
        )
        said = done.stdout + done.stderr
        assert (done.returncode == 0) is ok, said
        return said

    def tree(self) -> dict[str, str]:
        """Every file and link with its rights and content."""
        found = {}
        for path in sorted(self.path.rglob("*")):
            mode = stat.filemode(path.lstat().st_mode)
            content = str(path.readlink()) if path.is_symlink() else ""
            if not content and path.is_file():
                content = f"{path.stat().st_mtime_ns} {path.read_text(encoding='utf-8')}"
            found[str(path.relative_to(self.path))] = f"{mode} {content}"
        return found

    def read(self, name: str) -> str:
        return (self.path / name).read_text(encoding="utf-8")


@pytest.fixture
def target(tmp_path: Path, plain: Path, quick_python: Path) -> Target:
    return Target(tmp_path / "root", plain, quick_python)


def test_everything_arrives(target: Target) -> None:
    target.install("--board", "pi")
    for unit in (ROOT / "systemd/units").iterdir():
        assert target.read(f"etc/systemd/system/{unit.name}") == unit.read_text(encoding="utf-8")
    for name in ("sysusers.d", "tmpfiles.d", "modules-load.d"):
        assert (target.path / "etc" / name / "leukolux.conf").is_file()
    assert (target.path / "etc/udev/rules.d/70-leukolux.rules").is_file()
    assert os.access(target.path / "opt/leukolux/kiosk", os.X_OK)


def test_a_screen_that_would_stay_dark_is_told(target: Target) -> None:
    assert "there is no cage" in target.install("--board", "pi")
    assert "there is no cage" not in target.install("--board", "pi", "--no-kiosk")
    cage = target.path / "usr/bin/cage"
    cage.parent.mkdir(parents=True)
    cage.touch(mode=0o755)
    assert "there is no cage" not in target.install("--board", "pi")


def test_twice_gives_the_same_tree(target: Target) -> None:
    words = ("--board", "jetson", "--stage-usb", "2341:0043:7583")
    target.install(*words)
    before = target.tree()
    said = target.install(*words)
    assert target.tree() == before
    assert "stay as they are" in said


@pytest.mark.skipif(shutil.which("systemctl") is None, reason="systemctl is missing")
@pytest.mark.parametrize(
    ("words", "enabled"),
    [
        (("--board", "generic"), {"leukolux", "leukolux-kiosk"}),
        (("--board", "pi"), {"leukolux", "leukolux-light", "leukolux-kiosk"}),
        (("--board", "jetson", "--no-kiosk"), {"leukolux", "leukolux-light"}),
    ],
)
def test_what_a_board_needs_is_enabled(
    target: Target, words: tuple[str, ...], enabled: set[str]
) -> None:
    target.install("--board", "pi")
    target.install(*words)
    folder = target.path / "etc/systemd/system"
    assert {path.stem for path in folder.glob("*.wants/*")} == enabled


@pytest.mark.parametrize("board", ["generic", "jetson", "pi"])
def test_the_settings_come_from_the_program_and_fit_the_board(target: Target, board: str) -> None:
    target.install("--board", board)
    path = target.path / SETTINGS
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    written = load_settings(path)
    assert written == load_settings(ROOT / "systemd/boards" / f"{board}.toml")
    # Every setting is there, with its meaning.
    assert set(tomllib.loads(target.read(SETTINGS))) == set(written.model_dump())
    assert "# classified white cells that end the scan" in target.read(SETTINGS)


def test_the_settings_of_a_site_are_never_overwritten(target: Target) -> None:
    target.install("--board", "generic")
    site = "[scan]\ntarget_cells = 100\n"
    (target.path / SETTINGS).write_text(site, encoding="utf-8")
    target.install("--board", "generic")
    assert target.read(SETTINGS) == site


def test_settings_that_the_new_version_refuses_stop_it_before_anything_changes(
    target: Target,
) -> None:
    (target.path / "etc/leukolux").mkdir(parents=True)
    (target.path / SETTINGS).write_text("[scan]\ntarget_cels = 100\n", encoding="utf-8")
    before = target.tree()
    said = target.install("--board", "generic", ok=False)
    assert "scan.target_cels" in said
    assert "while checking the settings" in said
    assert "nothing was changed" in said
    assert target.tree() == before


def test_the_stage_gets_a_name_by_its_ids(target: Target) -> None:
    target.install("--board", "pi", "--stage-usb", "2341:0043:7583_A-1")
    rules = target.read("etc/udev/rules.d/71-leukolux-stage.rules")
    for term in (
        'ENV{ID_VENDOR_ID}=="2341"',
        'ENV{ID_MODEL_ID}=="0043"',
        'ENV{ID_SERIAL_SHORT}=="7583_A-1"',
        'SYMLINK+="leukolux-stage"',
    ):
        assert term in rules
    assert "@" not in rules
    target.install("--board", "pi", "--stage-usb", "1a86:7523")
    assert 'ENV{ID_SERIAL_SHORT}=="*"' in target.read("etc/udev/rules.d/71-leukolux-stage.rules")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--board", "amiga"), "no board amiga"),
        (("--stage-usb", "2341"), "VENDOR:PRODUCT"),
        (("--stage-usb", '2341:0043:"; rm'), "VENDOR:PRODUCT"),
        (("--from", "/nowhere"), "/nowhere is not there"),
        (("--from", "/"), "neither a wheel nor a checkout"),
        (("--find-links", "/nowhere"), "/nowhere is not a folder"),
        (("--no-such-option",), "unknown option"),
        (("--board",), "needs a value"),
        (("--uninstall", "--purge"), "--yes"),
        (("--python", "/nowhere/python"), "missing or older"),
    ],
)
def test_a_wrong_wish_changes_nothing_and_is_explained(
    target: Target, words: tuple[str, ...], complaint: str
) -> None:
    assert complaint in target.install(*words, ok=False)
    assert target.tree() == {}


def test_an_installation_that_fails_midway_says_what_to_do_and_can_be_repeated(
    target: Target,
) -> None:
    in_the_way = target.path / "etc/tmpfiles.d"
    in_the_way.parent.mkdir()
    in_the_way.write_text("not a folder")
    said = target.install("--board", "pi", ok=False)
    assert "while writing units and rules" in said
    assert "run it again" in said
    assert "--uninstall" in said
    in_the_way.unlink()
    target.install("--board", "pi")
    assert (in_the_way / "leukolux.conf").is_file()


def test_a_dry_run_writes_nothing(target: Target) -> None:
    said = target.install("--board", "jetson", "--dry-run")
    assert "would write: /etc/systemd/system/leukolux.service" in said
    assert said.splitlines()[-1] == "nothing was changed: that is what would be done"
    assert "is installed" not in said
    assert target.tree() == {}


@pytest.mark.parametrize("more", [(), ("--purge", "--yes")])
def test_a_dry_run_takes_nothing_off(target: Target, more: tuple[str, ...]) -> None:
    target.install("--board", "pi")
    before = target.tree()
    said = target.install("--uninstall", "--dry-run", *more)
    assert "would remove: /opt/leukolux" in said
    assert "is taken off" not in said
    assert target.tree() == before


def test_taken_off_it_leaves_settings_and_data(target: Target) -> None:
    target.install("--board", "jetson", "--stage-usb", "2341:0043")
    data = target.path / "var/lib/leukolux/leukolux.db"
    data.parent.mkdir(parents=True)
    data.write_text("results")
    target.install("--uninstall")
    left = {name for name in target.tree() if not (target.path / name).is_dir()}
    assert left == {SETTINGS, "var/lib/leukolux/leukolux.db"}
    target.install("--uninstall")


def test_purged_it_leaves_nothing(target: Target) -> None:
    target.install("--board", "pi")
    (target.path / "var/lib/leukolux").mkdir(parents=True)
    target.install("--uninstall", "--purge", "--yes")
    assert [name for name in target.tree() if not (target.path / name).is_dir()] == []
    assert not (target.path / "var/lib/leukolux").exists()


def test_another_board_takes_its_drop_in_off(target: Target) -> None:
    target.install("--board", "jetson")
    drop_in = target.path / "etc/systemd/system/leukolux.service.d/50-jetson.conf"
    assert drop_in.is_file()
    target.install("--board", "pi")
    assert not drop_in.exists()


def test_the_board_is_recognised(target: Target) -> None:
    (target.path / "etc").mkdir()
    (target.path / "etc/nv_tegra_release").touch()
    assert "for the board jetson" in target.install()


@pytest.mark.parametrize("script", ["install.sh", "kiosk"])
def test_the_scripts_are_clean(script: str) -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is missing")
    said = subprocess.run(
        ["shellcheck", str(ROOT / "systemd" / script)], capture_output=True, text=True, check=False
    )
    assert said.stdout == ""
