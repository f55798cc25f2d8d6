from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgerec.core.errors import ConfigurationError, FormatError, InputError, OutputError, TrainingError
from edgerec.data.samples import NOT_EXPOSED, TRAIN, VALIDATION, Samples
from edgerec.model import training
from edgerec.model.config import TrainConfig, load_config
from edgerec.model.evaluation import exposed, score
from edgerec.model.metrics import gauc
from edgerec.model.runs import Run, load_run
from edgerec.model.training import train

TINY = TrainConfig(batch_size=64, epochs=2, units=4, layers=1, unknown_rate=0.3)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def history(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def validation_gauc(run: Run, samples: Samples) -> float:
    requests = samples.splits[VALIDATION]
    seen = exposed(requests)
    return gauc(seen.group, seen.label, score(lambda inputs: run.model(inputs), samples, requests)[seen.which])


def test_a_run_has_learned_and_is_whole(run_path: Path) -> None:
    rows = history(run_path)
    assert [row["epoch"] for row in rows] == [1, 2]
    assert rows[1]["loss"] < rows[0]["loss"] - 0.005
    assert names(run_path) == ["metrics.jsonl", "model.weights.h5", "run.json", "vocabulary"]
    assert names(run_path.parent) == ["run"]
    head = load_run(run_path).head
    assert head.validation_gauc == max(row["validation_gauc"] for row in rows)
    assert head.parameters == sum(weight.size for weight in load_run(run_path).model.get_weights())


@pytest.mark.usefixtures("eager")
def test_stopped_and_resumed_equals_unbroken(
    samples: Samples, samples_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = {"samples_path": samples_path}
    unbroken = train(samples, TINY, tmp_path / "unbroken", **where)
    with monkeypatch.context() as patch:
        patch.setattr(training, "progress", _interrupt_epoch_2)
        with pytest.raises(KeyboardInterrupt):
            train(samples, TINY, tmp_path / "broken", **where)
    assert names(tmp_path) == [".broken.training", "unbroken"]
    with pytest.raises(OutputError, match=r"unfinished training stands at .*--resume"):
        train(samples, TINY, tmp_path / "broken", **where)
    with pytest.raises(FormatError, match="another configuration"):
        train(samples, TINY.model_copy(update={"seed": 2}), tmp_path / "broken", resume=True, **where)
    with pytest.raises(FormatError, match="other samples"):
        train(samples, TINY, tmp_path / "broken", samples_path=tmp_path, resume=True)

    resumed = train(samples, TINY, tmp_path / "broken", resume=True, **where)
    assert names(tmp_path) == ["broken", "unbroken"]
    for one, other in zip(unbroken.model.get_weights(), resumed.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    kept = ("epoch", "loss", "validation_gauc")
    assert [[row[key] for key in kept] for row in history(tmp_path / "unbroken")] == [
        [row[key] for key in kept] for row in history(tmp_path / "broken")
    ]
    assert unbroken.head.version_id[-12:] == resumed.head.version_id[-12:]

    with pytest.raises(OutputError, match="exists already"):
        train(samples, TINY, tmp_path / "broken", **where)
    with pytest.raises(FormatError, match="no unfinished training"):
        train(samples, TINY, tmp_path / "new", resume=True, **where)
    other = train(samples, TINY.model_copy(update={"seed": 2, "epochs": 1}), tmp_path / "broken", force=True, **where)
    assert other.head.version_id[-12:] != unbroken.head.version_id[-12:]
    assert load_run(tmp_path / "broken").head == other.head


def _interrupt_epoch_2(items: Iterable[Any], *, what: str, total: int | None = None) -> Iterator[Any]:
    for number, item in enumerate(items):
        if what == "epoch 2" and number == 1:
            raise KeyboardInterrupt
        yield item


@pytest.mark.usefixtures("eager")
def test_the_best_epoch_is_kept_and_ends_the_waiting(samples: Samples, samples_path: Path, tmp_path: Path) -> None:
    config = TINY.model_copy(update={"learning_rate": 0.2, "epochs": 12, "patience": 2, "batch_size": 1000})
    run = train(samples, config, tmp_path / "run", samples_path=samples_path)
    values = [row["validation_gauc"] for row in history(tmp_path / "run")]
    best = int(np.argmax(values)) + 1
    assert (run.head.best_epoch, run.head.validation_gauc) == (best, max(values))
    assert len(values) == best + 2 < 12
    # The weights that were kept are that epoch's, not the last ones.
    assert validation_gauc(load_run(tmp_path / "run"), samples) == pytest.approx(max(values), abs=1e-9)
    assert values[-1] != max(values)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(("batch_size", "what"), [(43, "loss"), (1000, "scores")])
def test_no_number_is_an_error(
    samples: Samples, samples_path: Path, tmp_path: Path, batch_size: int, what: str
) -> None:
    config = TINY.model_copy(update={"learning_rate": 1e30, "batch_size": batch_size})
    with pytest.raises(TrainingError, match=rf"the {what} became (nan|-?inf) in epoch 1: lower learning_rate"):
        train(samples, config, tmp_path / "run", samples_path=samples_path)
    assert not (tmp_path / "run").exists()


def test_the_learning_rate_falls_by_a_cosine() -> None:
    config = TINY.model_copy(update={"learning_rate": 1.0, "decay_epochs": 4})
    rates = [training._learning_rate(config, number) for number in (1, 3, 5, 9)]
    assert rates == pytest.approx([1.0, 0.55, 0.1, 0.1])
    assert training._learning_rate(TINY, 99) == TINY.learning_rate


@pytest.mark.parametrize(
    ("split", "labels", "said"),
    [
        (TRAIN, 0, "training split has 0 clicks"),
        (TRAIN, 1, "training split has .* needs clicked and unclicked"),
        (TRAIN, NOT_EXPOSED, "on 0 exposures"),
        (VALIDATION, 0, "validation split has no request with a clicked and an unclicked"),
        (VALIDATION, NOT_EXPOSED, "validation split"),
    ],
)
def test_nothing_to_learn_from(samples: Samples, tmp_path: Path, split: str, labels: int, said: str) -> None:
    requests = samples.splits[split]
    without = replace(requests, label=np.full(len(requests.label), labels, np.uint8))
    with pytest.raises(InputError, match=said):
        train(
            replace(samples, splits={**samples.splits, split: without}), TINY, tmp_path / "run", samples_path=tmp_path
        )
    assert names(tmp_path) == []


def test_settings_from_a_file_and_from_options(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("units = 16\nseed = 3\n")
    assert load_config(None, {"seed": None}) == TrainConfig()
    config = load_config(tmp_path / "c.toml", {"seed": 4, "epochs": None})
    assert config == TrainConfig(units=16, seed=4)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("unit = 16", "unit: Extra inputs are not permitted"),
        ("units = 0", r"units: .*greater than or equal to 1 \(received 0\)"),
        ("units = '16x'", "units"),
        ("learning_rate = nan", "learning_rate"),
        ("unknown_rate = 1.0", "unknown_rate"),
        ("model = 'other'", "model"),
        ("units = ", "not valid TOML"),
        ("\udcff", "not valid TOML"),
        (None, "No such file"),
    ],
)
def test_faulty_settings(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / "c.toml").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ConfigurationError, match=rf"configuration .*c\.toml.*{said}"):
        load_config(tmp_path / "c.toml", {})
