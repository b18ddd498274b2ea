"""What the tests of the installer share: a Python that answers at once what it answered before."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

# Starting the program takes most of an installation here, and equal settings get equal answers.
MEMO = """#!/bin/sh
for last; do :; done
case "$*" in
    *" settings --settings "*) ;;
    *) exec "{python}" "$@" ;;
esac
answer="{folder}/$(cksum <"$last" | tr ' ' -)"
if ! [ -f "$answer" ]; then
    "{python}" "$@" >"$answer.new" || exit
    mv "$answer.new" "$answer"
fi
cat "$answer"
"""


@pytest.fixture(scope="session")
def quick_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that stands for ``sys.executable``."""
    folder = tmp_path_factory.mktemp("python")
    path = folder / "python"
    path.write_text(MEMO.format(python=sys.executable, folder=folder), encoding="utf-8")
    path.chmod(0o755)
    return path
