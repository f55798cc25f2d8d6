from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgerec.bench.training import run_training_bench
from edgerec.cli.tables.bench import training_table
from edgerec.core.errors import InputError, OutputError
from edgerec.data.samples import Samples
from edgerec.model.config import TrainConfig
from tests.synthetic import build, make_logs

TINY = TrainConfig(batch_size=16, units=4, layers=2)


@pytest.mark.slow
def test_the_plain_keras_model_has_the_same_losses(tmp_path: Path) -> None:
    """If histories are shorter than the window, both models compute the same function, so their losses agree."""
    limits = {"candidates": 10, "exposures": 32, "page_views": 32}
    samples = build(tmp_path, make_logs(users=32, requests=4), limits=limits)
    out = tmp_path / "bench.json"
    document = run_training_bench(samples, TINY, batches=4, rounds=2, out=out)
    assert json.loads(out.read_text()) == json.loads(json.dumps(document, allow_nan=False))
    losses = document["losses"]["edgerec"]
    assert len(losses) == 4
    assert max(losses) - min(losses) > 1e-2
    # Later losses differ slightly, because Adam of Keras also updates rows that are not in the batch.
    assert document["losses"]["keras"][0] == pytest.approx(losses[0], abs=1e-6)
    assert document["loss_difference"] < 2e-3
    assert {(row["name"], row["stage"], row["n"]) for row in document["results"]} == {
        ("edgerec", "train_step", 8), ("keras", "train_step", 8), ("keras_unsorted", "train_step", 8),
        ("edgerec", "train_step_15k", 8), ("edgerec", "train_step_1.5m", 8),
    }  # fmt: skip
    assert document["requests_per_second"].keys() == {"edgerec", "keras", "keras_unsorted"}
    assert training_table(document).row_count == 5 + 3 + 3 + 1
    with pytest.raises(OutputError, match="exists already"):
        run_training_bench(samples, TINY, batches=1, rounds=1, out=out)


@pytest.mark.parametrize(
    ("config", "batches", "rounds", "message"),
    [
        (TINY, 0, 1, "--batches and --rounds should be at least 1"),
        (TINY, 1, 0, "--batches and --rounds should be at least 1"),
        (TINY.model_copy(update={"batch_size": 4096}), 1, 1, "lower --batches or --batch-size"),
    ],
)
def test_invalid_numbers_are_refused(
    samples: Samples, config: TrainConfig, batches: int, rounds: int, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        run_training_bench(samples, config, batches=batches, rounds=rounds)
