"""Tests of the oracle, which ranks simulated requests by their true click probabilities."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from edgerec.cli import cli
from edgerec.core.errors import InputError, LogsError
from edgerec.data.build_samples import write_samples
from edgerec.data.logs import load_logs, write_logs
from edgerec.data.samples import TEST, Samples, open_samples
from edgerec.simulation.config import CloudConfig, SimulationConfig
from edgerec.simulation.oracle import oracle
from edgerec.simulation.population import simulate
from tests.synthetic import make_logs

# With half as many users, a few requests would decide the GAUC of the true probabilities.
WORLD = SimulationConfig(users=120, items=80, days=3, categories=6, cloud=CloudConfig(page=20))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the `logs` of a small world and their `samples`. The samples have several shards."""
    path = tmp_path_factory.mktemp("oracle")
    simulate(WORLD, path / "logs", seed=5)
    write_samples(path / "logs", path / "samples", target=3000)
    return path


@pytest.fixture(scope="module")
def samples(folder: Path) -> Samples:
    return open_samples(folder / "samples")


def auc(clicked: Iterable[int], scores: Iterable[float]) -> float:
    pairs = [(label, score) for label, score in zip(clicked, scores, strict=True)]
    above = [(a > b) + 0.5 * (a == b) for x, a in pairs if x for y, b in pairs if not y]
    return float(np.mean(above))


def test_the_oracle_equals_a_plain_loop_over_the_logs(folder: Path, samples: Samples) -> None:
    assert len(samples.head.shards) > 1
    logs = load_logs(folder / "logs")
    truth = pl.concat([pl.read_parquet(file) for file in (folder / "logs" / "truth" / "requests").glob("*.parquet")])
    probability = dict(truth.iter_rows())
    category = dict(logs.items.select("item_id", "category").iter_rows())
    views = logs.events.filter(kind="page_view").select("user_id", "time", "item_id").rows()
    found: dict[str, list[float]] = {"truth": [], "last_category": []}
    weights = []
    for row in logs.requests.filter(pl.col("time") >= logs.head.test_from).iter_rows(named=True):
        shown = [position for position, label in enumerate(row["clicked"]) if label is not None]
        clicked = [row["clicked"][position] for position in shown]
        if not 0 < sum(clicked) < len(clicked):
            continue
        viewed = [item for user, time, item in views if user == row["user_id"] and time < row["time"]]
        last_category = category[viewed[-1]] if viewed else None
        items = [row["item_id"][position] for position in shown]
        weights.append(len(shown))
        found["truth"].append(auc(clicked, [probability[row["request_id"]][position] for position in shown]))
        first = [
            (category[item] == last_category) - position / 1000 for position, item in zip(shown, items, strict=True)
        ]
        found["last_category"].append(auc(clicked, first))
    expected = {name: float(np.average(values, weights=weights)) for name, values in found.items()}
    assert oracle(samples, folder / "logs", split=TEST) == pytest.approx(expected, abs=1e-9)
    assert expected["truth"] > 0.7


def test_evaluate_with_oracle_needs_no_run(folder: Path) -> None:
    done = CliRunner().invoke(cli, ["evaluate", str(folder / "samples"), "--oracle", "--json"], catch_exceptions=False)
    document = json.loads(done.stdout)
    assert document.keys() == {"schema", "split", "requests", "impressions", "baselines"}
    assert document["baselines"].keys() == {
        "random", "base_order", "best_single:p7_score", "last_category", "truth",
    }  # fmt: skip
    wrong = CliRunner().invoke(cli, ["evaluate", str(folder / "samples"), "--logs", "elsewhere"], standalone_mode=True)
    assert wrong.exit_code == 2


def test_moved_logs_are_refused_until_their_new_folder_is_given(folder: Path, samples: Samples, tmp_path: Path) -> None:
    with pytest.raises(LogsError, match=r"is not a folder: .*--logs"):
        oracle(samples, tmp_path / "gone", split=TEST)
    with pytest.raises(LogsError, match="has no files in truth/requests"):
        oracle(samples, tmp_path, split=TEST)
    shutil.copytree(folder / "logs", tmp_path / "moved")
    assert oracle(samples, tmp_path / "moved", split=TEST) == oracle(samples, folder / "logs", split=TEST)


def test_the_truth_of_other_logs_is_refused(samples: Samples, tmp_path: Path) -> None:
    simulate(WORLD, tmp_path / "other", seed=6)
    with pytest.raises(LogsError, match="do not match the samples: request"):
        oracle(samples, tmp_path / "other", split=TEST)


def test_a_damaged_truth_is_refused(folder: Path, samples: Samples, tmp_path: Path) -> None:
    shutil.copytree(folder / "logs", tmp_path / "cut")
    part = tmp_path / "cut" / "truth" / "requests" / "part-00000.parquet"
    part.write_bytes(part.read_bytes()[:-200])
    with pytest.raises(LogsError, match="cannot be read"):
        oracle(samples, tmp_path / "cut", split=TEST)


def test_samples_that_are_not_simulated_are_refused(tmp_path: Path) -> None:
    write_logs(make_logs(), tmp_path / "logs")
    other = write_samples(tmp_path / "logs", tmp_path / "samples", limits={"candidates": 10})
    with pytest.raises(
        InputError, match=r"are not from simulated logs .*Only a simulation knows the true .*leave --oracle out"
    ):
        oracle(other, tmp_path / "logs", split=TEST)
