"""A device and the real server, whose versions folder changes: publish, switch, retire, and back."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgerec import BehaviourStore, Client, ClientConfig, HttpTransport, ModelFolder, ModelUpdater, UpdateConfig
from edgerec.bundle.manifest_file import read_device_manifest
from edgerec.cloud.version_folder import publish, retire
from edgerec.features.behaviours import EXPOSURE
from tests.cloud.local_server import following

CONFIG = ClientConfig(page=6, fetch=8, prefetch=1, triggers=(), retry_first_ms=1, retry_most_ms=1)
SOON = UpdateConfig(check_ms=1, retry_first_ms=1, retry_most_ms=1)


@pytest.mark.parametrize("retired", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_device_follows_what_the_server_publishes_and_retires(
    bundle_path: Path, plus_path: Path, tmp_path: Path, retired: bool
) -> None:
    bundles = (bundle_path, plus_path / "bundle")
    first, second = (read_device_manifest(bundle / "device").version_id for bundle in bundles)
    publish(bundle_path, tmp_path / "versions")
    with (
        following(tmp_path / "versions", plus_path / "logs") as url,
        ModelFolder(tmp_path / "models") as models,
        BehaviourStore(tmp_path / "user.db", user_id=1) as store,
        HttpTransport(url) as cloud,
        HttpTransport(url) as downloads,
    ):
        client = Client(store, cloud, models.load(store), config=CONFIG)
        updater = ModelUpdater(client, models, downloads, config=SOON)
        orders: list[int] = []

        def until(done: Callable[[], bool]) -> None:
            deadline = time.monotonic() + 60
            while not done():
                assert time.monotonic() < deadline, updater.events
                updater.run_pending()
                client.refresh()
                client.run_pending()
                orders.append(len(client.order()))
                client.exposed(client.order()[0])
                client.run_pending()

        def runs(version_id: str) -> bool:
            return client.version_id == version_id and models.installed() == [version_id]

        until(lambda: runs(first))  # a device without a model gets one
        publish(plus_path / "bundle", tmp_path / "versions")
        until(lambda: runs(second))
        if retired:
            retire(second, tmp_path / "versions")
            until(lambda: runs(first))
        assert updater.counts["switched"] == (3 if retired else 2)
        assert min(orders) > 0  # the feed always had an order
        assert store.encoded_versions() == {first if retired else second}
        assert [ordinal for ordinal, _ in store.latest(EXPOSURE, 10**6)] == list(range(store.next_ordinal(EXPOSURE)))
        client.close()
        updater.close()
