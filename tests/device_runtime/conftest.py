"""Fixtures of mixed feeds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgerec import DeviceModel, load_device_model
from edgerec.device_runtime.store.behaviour_store import BehaviourStore
from tests.device_runtime.local_cloud import read_tables
from tests.device_runtime.mixed_feed import MixedApp, mixed_model


@pytest.fixture(scope="module")
def parts(bundle_path: Path) -> tuple[DeviceModel, dict[str, Any]]:
    return load_device_model(bundle_path), read_tables(bundle_path)


@pytest.fixture
def app(parts: tuple[DeviceModel, dict[str, Any]], tmp_path: Path) -> Iterator[MixedApp]:
    model, tables = parts
    with BehaviourStore(tmp_path / "user.db", user_id=3, limits=model.limits) as store:
        yield MixedApp(mixed_model(model), store, tables)
