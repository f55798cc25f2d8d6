"""Tasks run on a cluster of dask.distributed, and its faults are errors of one line.

The quick tests run scheduler and workers in this process. Those that are marked `slow` start processes.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgerec.core import cluster as clusters
from edgerec.core.cluster import Cluster, open_cluster
from edgerec.core.errors import InputError, ResourceError
from edgerec.data.build_samples import write_samples
from edgerec.data.logs import write_logs
from tests.command_line import edgerec, error_line
from tests.core.test_parallel import raise_for_three, square
from tests.dask_cluster import DaskCluster
from tests.data.test_repeated_tasks import content
from tests.synthetic import make_logs

pytest.importorskip("distributed", reason="needs the extra `cluster`")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The address of a scheduler in this process. It has two workers."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None, silence_logs=60
    ) as local:
        yield local.scheduler_address


@pytest.fixture
def cluster(address: str) -> Iterator[Cluster]:
    with open_cluster(address) as opened:
        yield opened


def test_results_are_in_order(cluster: Cluster) -> None:
    assert list(cluster.map_ordered(square, range(9))) == [n * n for n in range(9)]
    assert list(cluster.map_ordered(square, [])) == []


def test_the_exception_of_a_task_reaches_the_caller(cluster: Cluster) -> None:
    with pytest.raises(InputError, match=r"^three is refused$"):
        list(cluster.map_ordered(raise_for_three, range(9)))


def test_few_tasks_are_taken_before_their_results_are(cluster: Cluster) -> None:
    class Tasks(list[int]):
        taken = 0

        def __iter__(self) -> Iterator[int]:
            for task in super().__iter__():
                self.taken += 1
                yield task

    tasks = Tasks(range(100))
    results = cluster.map_ordered(square, tasks)
    next(results)
    assert tasks.taken <= 4  # two for each of the two threads
    results.close()


def slow_square(number: int) -> int:
    time.sleep(0.2)
    return square(number)


def raise_timeout(_: int) -> None:
    raise TimeoutError("the disk did not answer")


def test_a_task_may_take_longer_than_one_look_at_the_workers(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """In Python 3.10, the library's TimeoutError is not the builtin one."""
    monkeypatch.setattr(clusters, "CHECK_S", 0.05)
    assert list(cluster.map_ordered(slow_square, [3])) == [9]
    with pytest.raises(TimeoutError, match="the disk did not answer"):
        list(cluster.map_ordered(raise_timeout, [3]))


def test_samples_have_the_bytes_of_local_ones(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_logs(make_logs(users=6), tmp_path / "logs")
    write_samples("logs", "here", target=1)
    write_samples("logs", "there", target=1, cluster=address)
    assert content(tmp_path / "there") == content(tmp_path / "here")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "logs", "there"]


def test_a_worker_with_another_installation_is_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = dict(clusters.installation())
    monkeypatch.setattr(clusters, "_installation_there", lambda: {**found, "polars": "2.0.0"})
    refused = pytest.raises(InputError, match=r"worker inproc.* has polars 2\.0\.0, but this process has .*same")
    with refused as caught, open_cluster(address):
        pass
    assert "\n" not in str(caught.value)


def test_a_worker_that_joins_later_is_checked_too(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    found = dict(clusters.installation())
    monkeypatch.setattr(clusters, "_installation_there", lambda: {**found, "numpy": "1.0"})
    with pytest.raises(InputError, match=r"joined later has numpy 1\.0"):
        list(cluster.map_ordered(square, range(3)))


def stop_answering(_: str) -> bool:
    raise ConnectionError("the connection is closed")


def test_a_folder_that_workers_do_not_see_is_refused(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.check_sees(tmp_path)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(clusters, "_is_file", lambda _: False)
    with pytest.raises(InputError, match="does not see"):
        cluster.check_sees(tmp_path)
    monkeypatch.setattr(clusters, "_is_file", stop_answering)
    with pytest.raises(ResourceError, match=r"stopped before it answered \(the connection is closed\)"):
        cluster.check_sees(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_address_without_a_scheduler_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "CONNECT_S", 0.2)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    refused = pytest.raises(ResourceError, match=rf"no scheduler answers at {nobody}.*dask scheduler")
    with refused as caught, open_cluster(nobody):
        pass
    assert "\n" not in str(caught.value)
    for wrong in ("nonsense://here:1", "tcp://127.0.0.1:port", ""):
        with pytest.raises(InputError, match="not a usable address"), open_cluster(wrong):
            pass


STOP = """
import os, sys, time

moved = 0

def stop(event, arguments):
    global moved
    if event == "os.rename" and "/output/shards/" in os.fspath(arguments[1]):
        moved += 1
        if moved == 3:
            open({file!r}, "w").close()
            time.sleep(10_000)

sys.addaudithook(stop)
"""
"""A worker that runs this stops for good when it has renamed two files of its first shard, before the third."""
WAIT = """
import os, sys, time

def wait(event, arguments):
    if event == "os.rename" and "/output/shards/" in os.fspath(arguments[1]):
        while not os.path.exists({file!r}):
            time.sleep(0.02)

sys.addaudithook(wait)
"""
"""A worker that runs this finishes its first shard only after the other worker has stopped."""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs signals")
def test_a_killed_worker_changes_no_byte(tmp_path: Path) -> None:
    write_logs(make_logs(), tmp_path / "logs")
    write_samples(tmp_path / "logs", tmp_path / "here", target=1)
    stopped, ports = tmp_path / "stopped", _listening()
    with DaskCluster(tmp_path / "cluster") as real:
        real.add_worker(setup=WAIT.format(file=str(stopped)), threads=2, POLARS_MAX_THREADS="1")
        victim = real.add_worker(setup=STOP.format(file=str(stopped)))

        def kill() -> None:
            while not stopped.exists():
                time.sleep(0.02)
            victim.kill()

        while _workers(real.address) != 2:
            time.sleep(0.05)
        killing = threading.Thread(target=kill)
        killing.start()
        write_samples(tmp_path / "logs", tmp_path / "there", target=1, cluster=real.address)
        killing.join()
        assert victim.wait() == -signal.SIGKILL
        assert _listening() == ports
    assert content(tmp_path / "there") == content(tmp_path / "here")


@pytest.mark.slow
def test_faults_of_a_cluster_are_one_line(tmp_path: Path) -> None:
    write_logs(make_logs(), tmp_path / "logs")
    command = ["samples", tmp_path / "logs", "--out", tmp_path / "samples", "--cluster"]
    with DaskCluster(tmp_path / "cluster") as real:
        assert "has no worker: start some with `dask worker tcp://" in error_line(edgerec(*command, real.address))
        other = real.add_worker(setup="import edgerec\nedgerec.__version__ = '0.0.1'\n")
        assert "has edgerec 0.0.1, but this process has" in error_line(edgerec(*command, real.address))
        other.kill()
        other.wait()
        for _ in range(4):  # allowed-failures of the scheduler is 3
            real.add_worker(setup=STOP_TASKS)
        line = error_line(edgerec(*command, real.address))
        assert "4 workers died one after another while they ran the task edgerec-count-" in line
        real.add_worker()
        assert "already" not in edgerec(*command, real.address).stderr
    # Work was done, so the folder exists now.
    assert "no scheduler answers" in error_line(edgerec(*command, "tcp://127.0.0.1:9", "--force"))


STOP_TASKS = """
import os, sys

def stop(event, arguments):
    if event == "tempfile.mkdtemp" and "attempt-00000" in str(arguments[0]):
        os._exit(1)

sys.addaudithook(stop)
"""


def _workers(address: str) -> int:
    with open_cluster(address) as opened:
        return opened._threads() and len(opened._client.nthreads())


def _listening() -> list[object]:
    """Return the ports on which this process listens, from the kernel's table."""
    import psutil

    return [each.laddr for each in psutil.Process(os.getpid()).net_connections() if each.status == "LISTEN"]
