from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from check_rig import CheckRig, check_rig

from models.runtime import ModelSet
from models.verify import load_tested_models


@pytest.fixture(scope="session")
def models() -> ModelSet:
    return load_tested_models("cpu")


@pytest.fixture
def rig(tmp_path: Path, models: ModelSet) -> Iterator[CheckRig]:
    with check_rig(tmp_path, models) as made:
        yield made
