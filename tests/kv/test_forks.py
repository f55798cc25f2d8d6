"""Open tables and versions work in a forked process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.forked import run_script
from tests.kv.tables import make, write_cloud

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def test_a_fork_during_a_look_up_of_another_thread_works(tmp_path: Path) -> None:
    """The fork happens while another thread is inside the look-up, in the hash function of the version id."""
    script = """
    import numpy as np
    from pathlib import Path
    from edgerec.bundle.tables import open_tables
    from edgerec.kv.store import OpenVersions

    asking, forked = threading.Event(), threading.Event()
    class Slow(str):
        def __hash__(self):
            asking.set()
            forked.wait()
            return super().__hash__()

    versions = OpenVersions()
    versions.add(open_tables(Path(sys.argv[1])))
    def work():
        assert versions.ids() == ["v1"]
        assert versions.get("v1").get_many({"shop": np.arange(40)})["shop"].unknown == 0
    thread = threading.Thread(target=lambda: versions.get(Slow("v1")))
    thread.start()
    asking.wait()
    print(child(work), file=sys.stderr)
    forked.set()
    thread.join()
    """
    cloud = write_cloud(tmp_path / "cloud", {"shop": make(range(40))}, version_id="v1")
    assert run_script(script, cloud) == ["done"]


def test_a_fork_during_a_redis_request_of_another_thread_works(tmp_path: Path, redis_url: str) -> None:
    """In the child, redis-py opens new connections. It does not use those of its parent."""
    script = """
    import numpy as np
    from pathlib import Path
    from edgerec.bundle.tables import open_tables
    from edgerec.kv.redis import RedisStore
    store = RedisStore(sys.argv[2], prefix=sys.argv[3])
    tables = store.publish(open_tables(Path(sys.argv[1])))
    def work():
        assert tables.get_many({"shop": np.arange(40)})["shop"].unknown == 0
    for said in while_busy(work):
        print(said, file=sys.stderr)
    work()
    """
    cloud = write_cloud(tmp_path / "cloud", {"shop": make(range(40))}, version_id="v1")
    assert run_script(script, cloud, redis_url, "forks") == ["done"] * 12
