"""A bundle of CRBAN+ with relations and a context, and the logs of users with histories of many segments."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import quicker
from tests.shared_folders import shared_folder


@pytest.fixture(scope="session")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a folder with `logs`, `samples`, `run` and `bundle`. A user has about 200 exposures; the limit is 8."""

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

    yield from shared_folder(tmp_path_factory, "rich", make)
