from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from instrument_double import TOKEN, InstrumentDouble, open_records

from device.config import WebConfig
from device.records import Records
from device.settings import Settings
from webui.app import create_app
from webui.trust import ENVIRON_KEY, Listener


@pytest.fixture
def settings() -> Settings:
    return Settings(
        web=WebConfig(port=0, lan=True, lan_host="127.0.0.1", lan_port=0, lan_token=TOKEN)
    )


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


@pytest.fixture
def app(instrument: InstrumentDouble, records: Records, settings: Settings) -> Flask:
    return create_app(instrument, records, settings)  # type: ignore[arg-type]


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
