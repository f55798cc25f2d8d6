"""Shared fixtures: small samples, a trained run and its bundle. Each is made once for all worker processes."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests import quicker
from tests.shared_folders import shared_folder

if TYPE_CHECKING:
    from edgerec.data.samples import Samples

# Without this variable, TensorFlow's C++ code writes log lines to stderr when it is imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# The operations of tests are small. With one thread each, the test processes use the cores better.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
# polars reads this variable only once in a process. The command line sets it too; the reason is stated there.
os.environ.setdefault("POLARS_IGNORE_TIMEZONE_PARSE_ERROR", "1")

# Hypothesis sets no deadline for an example, because the time of an example depends on the load of the machine.
settings.register_profile(
    "edgerec", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
settings.load_profile("edgerec")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put test files that use the shared bundle first. One process makes the bundle while the other runs other files.

    The tests of a file stay together, so that few module fixtures are made in both processes.
    """
    first = {item.path for item in items if {"bundle_path", "plus_path"} & set(getattr(item, "fixturenames", ()))}
    items.sort(key=lambda item: item.path not in first)


def pytest_collection_finish() -> None:
    """Let the garbage collector leave out the objects of all imported packages. With them, a collection takes 0.4 s."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def samples_path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a folder of small samples. Their logs are in the folder `logs` next to it."""
    from edgerec.data.build_samples import write_samples
    from edgerec.data.logs import write_logs
    from tests.synthetic import LIMITS, make_logs

    def make(root: Path) -> None:
        write_logs(make_logs(), root / "logs")
        write_samples(root / "logs", root / "samples", limits=LIMITS)

    for root in shared_folder(tmp_path_factory, "samples", make):
        yield root / "samples"


@pytest.fixture(scope="session")
def samples(samples_path: Path) -> Samples:
    """Return the small samples of `samples_path`, loaded."""
    from edgerec.data.samples import open_samples

    return open_samples(samples_path)


@pytest.fixture(scope="session")
def run_path(tmp_path_factory: pytest.TempPathFactory, samples_path: Path, samples: Samples) -> Iterator[Path]:
    """Return the folder of a run that was trained on the small samples for two epochs."""

    def make(root: Path) -> None:
        from edgerec.model.config import TrainConfig
        from edgerec.model.training import train

        config = TrainConfig(batch_size=32, epochs=2, units=8, layers=2, gain=2.0, compiled=False)
        with quicker.run_eagerly():
            train(samples, config, root / "run", samples_path=samples_path)

    for root in shared_folder(tmp_path_factory, "run", make):
        yield root / "run"


@pytest.fixture(scope="session")
def bundle_path(tmp_path_factory: pytest.TempPathFactory, run_path: Path) -> Iterator[Path]:
    """Return the bundle of the run. Its parity was checked on 30 requests, and its table has several shards.

    The parity check has one set of random requests for each standard deviation, not three.
    """

    def make(root: Path) -> None:
        from edgerec.export.bundle import export_bundle

        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SOURCE_DATE_EPOCH", "1735689600")
            patch.setattr("edgerec.export.parity_check.SEEDS", (1,))
            export_bundle(run_path, root / "bundle", requests=30, shard_rows=3)

    for root in shared_folder(tmp_path_factory, "bundle", make):
        yield root / "bundle"


@pytest.fixture(scope="session")
def personal_path(tmp_path_factory: pytest.TempPathFactory, run_path: Path) -> Iterator[Path]:
    """Return a bundle of the run with the head of personal patches. The numbers of the head are random.

    The head reads the hidden layer and the candidate vector, and has rank 4.
    """

    def make(root: Path) -> None:
        from edgerec.export.bundle import export_bundle
        from edgerec.model.runs import load_run
        from tests.personalization.heads import a_head

        run = load_run(run_path)
        inputs = run.model.settings.units + run.model.settings.candidate_width
        head = a_head(4, inputs=inputs, version_id=run.head.version_id)
        with quicker.run_eagerly(), pytest.MonkeyPatch.context() as patch:
            quicker.shorten_parity_check(patch)
            export_bundle(run_path, root / "bundle", requests=5, personal=head)

    for root in shared_folder(tmp_path_factory, "personal", make):
        yield root / "bundle"


@pytest.fixture(scope="session")
def plus_path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a folder with `logs`, `samples`, `run` and `bundle` of `crban_plus` with relations and a context.

    A user has about 200 exposures, and a window has at most 8: so recurrences have many segments.
    """

    def make(root: Path) -> None:
        from edgerec.data.build_samples import write_samples
        from edgerec.data.logs import write_logs
        from edgerec.export.bundle import export_bundle
        from edgerec.model.config import TrainConfig
        from edgerec.model.training import train
        from tests.synthetic import LIMITS, make_logs_with_context

        write_logs(make_logs_with_context(users=3, requests=40), root / "logs")
        samples = write_samples(root / "logs", root / "samples", limits=LIMITS)
        config = TrainConfig(model="crban_plus", batch_size=64, epochs=1, units=8, layers=1, compiled=False)
        with quicker.run_eagerly(), pytest.MonkeyPatch.context() as patch:
            quicker.shorten_parity_check(patch)
            train(samples, config, root / "run", samples_path=root / "samples")
            export_bundle(root / "run", root / "bundle", requests=5)

    yield from shared_folder(tmp_path_factory, "plus", make)


@pytest.fixture(scope="session")
def small_world_path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a folder with `logs`, `samples`, `run` and `bundle` of the world in `tests.small_world`.

    The bundle has a head of personal patches, whose gate trusts patches of few events.
    """

    def make(root: Path) -> None:
        from edgerec.data.build_samples import write_samples
        from edgerec.export.bundle import export_bundle
        from edgerec.model.config import TrainConfig
        from edgerec.model.runs import load_run
        from edgerec.model.training import train
        from edgerec.simulation.population import simulate
        from tests.personalization.heads import a_head
        from tests.small_world import CONFIG, SEED

        simulate(CONFIG, root / "logs", seed=SEED)
        limits = {"candidates": 24, "exposures": 16, "page_views": 8}
        samples = write_samples(root / "logs", root / "samples", limits=limits)
        config = TrainConfig(batch_size=64, epochs=1, units=8, layers=1, compiled=False)
        with quicker.run_eagerly(), pytest.MonkeyPatch.context() as patch:
            quicker.shorten_parity_check(patch)
            train(samples, config, root / "run", samples_path=root / "samples")
            run = load_run(root / "run")
            inputs = run.model.settings.units + run.model.settings.candidate_width
            head = a_head(inputs=inputs, version_id=run.head.version_id, gain=1.0, gain_events=1e5)
            export_bundle(root / "run", root / "bundle", requests=5, personal=head)

    yield from shared_folder(tmp_path_factory, "small-world", make)


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """Return the address of a Redis server that all tests share. Each test uses its own prefix of keys."""
    from edgerec.bench.cloud.redis_servers import redis_server
    from tests.redis_server import need_redis

    need_redis()
    with redis_server() as server:
        yield server.url


@pytest.fixture(scope="session")
def redis_cluster_url() -> Iterator[str]:
    """Return the address of a Redis Cluster of three masters that all tests share, with prefixes of their own."""
    from edgerec.bench.cloud.redis_servers import redis_cluster
    from tests.redis_server import need_redis

    need_redis()
    with redis_cluster() as cluster:
        yield cluster.url


@pytest.fixture
def short_parity_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the parity checks of `export_bundle`. The shared bundle is made with most of the checks."""
    quicker.shorten_parity_check(monkeypatch)


@pytest.fixture
def quick_gru() -> Iterator[None]:
    """Replace the GRU layers of Keras by a quicker function. Only tests that run without tracing can use it."""
    with quicker.quick_gru():
        yield


@pytest.fixture
def eager(short_parity_check: None) -> Iterator[None]:
    """Run TensorFlow functions eagerly. For small models this takes less time than tracing."""
    with quicker.run_eagerly():
        yield
