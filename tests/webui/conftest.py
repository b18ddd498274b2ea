from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from flask import Flask
from flask.testing import FlaskClient
from instrument_double import TOKEN, InstrumentDouble, TwoTones, open_records, store_run

from device.analysis.staining import VirtualStain
from device.instrument import Instrument
from device.records.records import Records
from device.settings.file import Settings
from device.settings.sections import WebConfig
from webui import context
from webui.app import create_app, parts_with
from webui.trust import ENVIRON_KEY, Listener


def _settings() -> Settings:
    web = WebConfig(port=0, lan=True, lan_host="127.0.0.1", lan_port=0, lan_token=TOKEN)
    return Settings(web=web)


@pytest.fixture
def settings() -> Settings:
    return _settings()


@pytest.fixture(scope="session")
def empty_records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database without rows: copying it is faster than making one per test."""
    opened = open_records(tmp_path_factory.mktemp("records"))
    opened.close()
    return opened.path


@pytest.fixture
def records(tmp_path: Path, empty_records: Path) -> Iterator[Records]:
    shutil.copy(empty_records, tmp_path)
    opened = open_records(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def instrument(records: Records, settings: Settings) -> InstrumentDouble:
    return InstrumentDouble(records, settings)


@pytest.fixture(scope="session")
def shared_app() -> Flask:
    """One application for all tests, because compiling its routes takes longer than most tests."""
    return create_app(cast("Instrument", None), cast("Records", None), _settings())


@pytest.fixture
def colours() -> TwoTones:
    return TwoTones()


@pytest.fixture
def app(
    shared_app: Flask,
    instrument: InstrumentDouble,
    records: Records,
    settings: Settings,
    colours: TwoTones,
) -> Flask:
    stain = VirtualStain(lambda: colours)
    parts = parts_with(cast("Instrument", instrument), records, settings, stain)
    context.install(shared_app, parts)
    return shared_app


@pytest.fixture
def screen(app: Flask) -> FlaskClient:
    client = app.test_client()
    client.environ_base[ENVIRON_KEY] = Listener.SCREEN
    return client


@pytest.fixture
def network(app: Flask) -> FlaskClient:
    client = app.test_client()
    client.environ_base[ENVIRON_KEY] = Listener.NETWORK
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {TOKEN}"
    return client


@pytest.fixture
def run_id(records: Records, settings: Settings) -> int:
    return store_run(records, settings)
