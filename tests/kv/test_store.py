from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from edgerec.bundle.tables import open_tables
from edgerec.core.errors import InputError
from edgerec.kv.store import OpenVersions
from tests.kv.tables import expected, make, write_cloud


def test_several_versions_can_be_open_at_once(tmp_path: Path) -> None:
    versions, tables = OpenVersions(), {}
    for number, name in enumerate(("v1", "v2", "v3")):
        tables[name] = make(range(number, 40), seed=number)
        versions.add(open_tables(write_cloud(tmp_path / name, {"shop": tables[name]}, version_id=name)))
    assert versions.ids() == ["v1", "v2", "v3"]
    keys = np.array([0, 1, 2, 50])
    for name, table in tables.items():
        found = versions.get(name).get_many({"shop": keys})["shop"]
        np.testing.assert_array_equal(found.rows, expected(table, keys.tolist()))
        np.testing.assert_array_equal(found.known, np.isin(keys, table.keys))
        assert found.unknown == {"v1": 1, "v2": 2, "v3": 3}[name]
    removed = versions.get("v2")
    versions.remove("v2")
    np.testing.assert_array_equal(removed.get_many({"shop": keys})["shop"].rows, expected(tables["v2"], keys.tolist()))
    for look_up in (versions.get, versions.remove):
        with pytest.raises(InputError, match="version 'v2' is not open; open versions: v1, v3"):
            look_up("v2")
    with pytest.raises(InputError, match="version v1 is open already"):
        versions.add(versions.get("v1"))


def test_threads_can_open_and_close_versions_during_look_ups(tmp_path: Path) -> None:
    versions, permanent = OpenVersions(), make(range(40))
    versions.add(open_tables(write_cloud(tmp_path / "stays", {"shop": permanent}, version_id="stays")))
    cloud = write_cloud(tmp_path / "comes", {"shop": make(range(40), seed=1)}, version_id="comes")

    def look_up(_: int) -> bool:
        rows = versions.get("stays").get_many({"shop": np.arange(40)})["shop"].rows
        return bool((rows == permanent.values).all())

    def open_and_close() -> bool:
        for _ in range(50):
            versions.add(open_tables(cloud))
            versions.remove("comes")
        return True

    with ThreadPoolExecutor(4) as threads:
        opening = threads.submit(open_and_close)
        assert all(threads.map(look_up, range(2000)))
        assert opening.result()
    assert versions.ids() == ["stays"]
