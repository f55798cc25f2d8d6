"""What the tests share: small samples, a trained run and its bundle, each made once for all worker processes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from tests.quicker import run_eagerly, shorten_proof
from tests.shared_folders import shared_folder

if TYPE_CHECKING:
    from edgerec.data.samples import Samples

# TensorFlow's C++ greets on stderr at import.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# polars reads it once in a process; the command line sets it, and says why.
os.environ.setdefault("POLARS_IGNORE_TIMEZONE_PARSE_ERROR", "1")

# No test is about time: how long an example takes to draw or to run says what else the machine is doing.
settings.register_profile(
    "edgerec", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
settings.load_profile("edgerec")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files that use the shared bundle first: one process makes it while the other one runs what stands last.

    Files stay whole, so that few of their module fixtures are made in both processes.
    """
    first = {item.path for item in items if "bundle_path" in getattr(item, "fixturenames", ())}
    items.sort(key=lambda item: item.path not in first)


@pytest.fixture(scope="session")
def samples_path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of small samples; `logs`, what they are made of, stands beside it."""
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
    """The folder, opened."""
    from edgerec.data.samples import load_samples

    return load_samples(samples_path)


@pytest.fixture(scope="session")
def run_path(tmp_path_factory: pytest.TempPathFactory, samples_path: Path, samples: Samples) -> Iterator[Path]:
    """A run trained on them for two epochs."""

    def make(root: Path) -> None:
        from edgerec.model.config import TrainConfig
        from edgerec.model.training import train

        config = TrainConfig(batch_size=32, epochs=2, units=8, layers=2, compiled=False)
        train(samples, config, root / "run", samples_path=samples_path)

    for root in shared_folder(tmp_path_factory, "run", make):
        yield root / "run"


@pytest.fixture(scope="session")
def bundle_path(tmp_path_factory: pytest.TempPathFactory, run_path: Path) -> Iterator[Path]:
    """The run's bundle, proven on sixty requests, its table in several shards."""

    def make(root: Path) -> None:
        from edgerec.export.bundle import export_bundle

        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("SOURCE_DATE_EPOCH", "1735689600")
            export_bundle(run_path, root / "bundle", requests=60, shard_rows=3)

    for root in shared_folder(tmp_path_factory, "bundle", make):
        yield root / "bundle"


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """The address of a Redis server for all tests: each takes a prefix of its own."""
    from tests.redis_server import need_redis, redis_server

    need_redis()
    with redis_server() as server:
        yield server.url


@pytest.fixture
def short_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    """`export_bundle` proves less: where the shared bundle is made, it proves all."""
    shorten_proof(monkeypatch)


@pytest.fixture
def eager(short_proof: None) -> Iterator[None]:
    """Functions run as they are written: for small models, less than the seconds that tracing takes."""
    with run_eagerly():
        yield
