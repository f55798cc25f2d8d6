from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from edgerec.cloud.version_folder import publish
from edgerec.data.logs import load_logs
from tests.cloud.bundles import write_whole
from tests.cloud.local_server import following
from tests.cloud.switching import Live, Load, Truth, switch

KINDS = ("page", "items", "model", "404", "without a model")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def test_versions_are_switched_under_load(logs: Path, tmp_path: Path) -> None:
    """`scripts/prove versions` switches a server in a process of its own 200 times."""
    first, second = (Truth.of(write_whole(tmp_path / name, name), logs) for name in ("v1", "version-2"))
    folder, live = tmp_path / "versions", Live()
    publish(first.bundle, folder)
    with following(folder, logs) as url:
        live.begin("v1")
        truths = {truth.version_id: truth for truth in (first, second)}
        load = Load(url, truths, load_logs(logs).items["item_id"].to_list(), live, pause_s=0.005)
        with load.running(2):
            seconds, _ = switch(first, second, folder, os.getpid(), url, live, times=6, quick=3)
            end = time.monotonic() + 20  # the version that is retired last gives the answer 404 from now on
            while any(not load.counts[kind] for kind in KINDS) and time.monotonic() < end:
                time.sleep(0.02)
    assert load.faults == []
    assert len(seconds) == 4
    for kind in KINDS:
        assert load.counts[kind] > 0
