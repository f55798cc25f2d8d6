"""A trained ESAN and its bundle, on logs in which a click depends on the kind of the card before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import quicker
from tests.shared_folders import shared_folder


@pytest.fixture(scope="session")
def mixed_path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a folder with `samples`, `learnt`, `few`, `run` and `bundle`.

    `learnt` is an ESAN that was trained on `samples` until it knows what the card before does. It reads no behaviours,
    because recurrences take most of the time of a step. `run` and `bundle` are those of an ESAN that reads behaviours,
    and was trained for one step on the samples `few`.
    """

    def make(root: Path) -> None:
        from edgerec.data.build_samples import write_samples
        from edgerec.data.logs import write_logs
        from edgerec.export.bundle import export_bundle
        from edgerec.model.config import TrainConfig
        from edgerec.model.training import train
        from tests.mixing.mixed_logs import mixed_logs
        from tests.synthetic import LIMITS

        samples = {}
        for name, logs in (("samples", mixed_logs()), ("few", mixed_logs(users=4, pages=6))):
            write_logs(logs, root / f"{name}-logs")
            samples[name] = write_samples(root / f"{name}-logs", root / name, limits=LIMITS)
        settings = {"units": 8, "layers": 1, "learning_rate": 0.03, "compiled": False}
        config = TrainConfig(model="esan_no_behaviour", batch_size=16, epochs=5, **settings)
        train(samples["samples"], config, root / "learnt")
        with quicker.run_eagerly(), pytest.MonkeyPatch.context() as patch:
            quicker.shorten_parity_check(patch)
            config = TrainConfig(model="esan", batch_size=64, epochs=1, **settings)
            train(samples["few"], config, root / "run")
            export_bundle(root / "run", root / "bundle", requests=5)

    yield from shared_folder(tmp_path_factory, "mixed", make)
