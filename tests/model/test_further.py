from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgerec.core.errors import ConfigurationError, FormatError, SpecificationError
from edgerec.data.build_samples import write_samples
from edgerec.data.logs import write_logs
from edgerec.data.samples import Samples
from edgerec.model.config import TrainConfig, load_config
from edgerec.model.finishing import finish
from edgerec.model.further import continued
from edgerec.model.run_head import read_run_head
from edgerec.model.runs import Run, load_run
from edgerec.model.training import train
from edgerec.model.training_loop import TrainingLoop
from tests.command_line import edgerec_here, error_line
from tests.quicker import run_eagerly
from tests.synthetic import make_logs

OLD = TrainConfig(model="dnn_rank", units=4, layers=1, batch_size=32, epochs=1, compiled=False)
MORE = TrainConfig(batch_size=32, epochs=2, compiled=False)
"""The settings of a further training. They state no model."""


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory, samples: Samples) -> Path:
    """Return a run that is trained further."""
    path = tmp_path_factory.mktemp("old") / "run"
    with run_eagerly():
        train(samples, OLD, path)
    return path


@pytest.fixture(scope="module")
def later(tmp_path_factory: pytest.TempPathFactory, old: Path) -> Samples:
    """Return samples of later logs, made like the run."""
    folder = tmp_path_factory.mktemp("later")
    logs = make_logs(users=6, seed=7)
    write_logs(logs, folder / "logs")
    test_from = int(logs.requests["time"].quantile(0.8, "nearest") or 0)
    return write_samples(folder / "logs", folder / "samples", like=old, test_from=test_from)


def weights(run: Run) -> list[np.ndarray]:
    return [np.asarray(weight) for weight in run.model.get_weights()]


@pytest.mark.usefixtures("eager")
def test_a_further_training_starts_from_the_weights_of_the_run(
    old: Path, later: Samples, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The learning rate is so small that no weight changes.
    still = MORE.model_copy(update={"epochs": 1, "learning_rate": 1e-30, "decay_epochs": 0})
    run = train(later, still, tmp_path / "run", from_run=old)
    for before, after in zip(weights(load_run(old)), weights(run), strict=True):
        np.testing.assert_allclose(after, before, rtol=0, atol=1e-20)
    said = f"validation GAUC {run.head.validation_gauc:.4f} before the first epoch: weights of {run.head.trained_from}"
    assert said in capsys.readouterr().err


@pytest.mark.usefixtures("eager")
def test_a_further_training_learns_and_names_the_run(old: Path, later: Samples, tmp_path: Path) -> None:
    head = read_run_head(old)[0]
    run = train(later, MORE, tmp_path / "run", from_run=old)
    assert any((a != b).any() for a, b in zip(weights(load_run(old)), weights(run), strict=True))
    stated = json.loads((tmp_path / "run" / "run.json").read_text())
    assert stated["trained_from"] == head.version_id != stated["version_id"]
    assert (run.head.config.model, run.head.config.units, run.head.config.layers) == ("dnn_rank", 4, 1)
    assert run.head.spec == head.spec
    assert head.trained_from is None


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_a_resumed_further_training_equals_an_uninterrupted_one(
    old: Path, later: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(later, MORE, tmp_path / "whole", from_run=old)
    own_epoch = TrainingLoop._epoch

    def interrupted(loop: TrainingLoop, *arguments: object) -> None:
        if loop.work.so_far.epoch == 1:
            raise KeyboardInterrupt
        own_epoch(loop, *arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(TrainingLoop, "_epoch", interrupted)
        for name in ("resumed", "finished"):
            with pytest.raises(KeyboardInterrupt):
                train(later, MORE, tmp_path / name, from_run=old)
    same = OLD.model_copy(update={"epochs": 2})
    with pytest.raises(FormatError, match=rf"was started from the run {whole.head.trained_from}"):
        train(later, same, tmp_path / "resumed", resume=True)
    resumed = train(later, MORE, tmp_path / "resumed", from_run=old, resume=True)
    for one, other in zip(weights(whole), weights(resumed), strict=True):
        np.testing.assert_array_equal(one, other)
    assert resumed.head.trained_from == whole.head.trained_from
    assert finish(later, tmp_path / "finished").head.trained_from == whole.head.trained_from


@pytest.mark.parametrize(("name", "value"), [("model", "dlcm"), ("units", 8), ("layers", 2)])
def test_another_architecture_is_an_error(old: Path, name: str, value: object) -> None:
    head = read_run_head(old)[0]
    with pytest.raises(ConfigurationError, match=f"`{name}` of the run {head.version_id} is .*; received {value}"):
        continued(TrainConfig.model_validate({name: value}), head)
    same = TrainConfig(model="dnn_rank", units=4, layers=1, seed=3)
    assert continued(same, head) == continued(TrainConfig(seed=3), head) == same


def test_samples_that_do_not_fit_are_an_error_before_tensorflow(old: Path, tmp_path: Path) -> None:
    write_logs(make_logs(), tmp_path / "logs")
    other = write_samples(tmp_path / "logs", tmp_path / "samples", limits={"exposures": 9})
    with pytest.raises(SpecificationError, match="make samples of these logs with `edgerec samples --like RUN`"):
        train(other, MORE, tmp_path / "run", from_run=old)
    told = error_line(edgerec_here("train", other.path, "--out", tmp_path / "run", "--from", old))
    assert "do not fit run" in told


def test_the_command_refuses_what_does_not_go_together(old: Path, later: Samples, tmp_path: Path) -> None:
    command = ["train", later.path, "--out", tmp_path / "run", "--from", old]
    tuned = edgerec_here(*command, "--tune", "2")
    assert tuned.returncode == 2
    assert "leave out --from" in tuned.stderr
    finished = edgerec_here(*command, "--finish")
    assert finished.returncode == 2
    assert "leave out --from" in finished.stderr
    assert "`model` of the run" in error_line(edgerec_here(*command, "--model", "crban"))


def test_the_settings_of_the_runs_model_are_read(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("[models.dnn_rank]\nepochs = 7\n[models.crban]\nepochs = 5\n")
    assert load_config(tmp_path / "c.toml", {}, model="dnn_rank").epochs == 7
    assert load_config(tmp_path / "c.toml", {}).epochs == 5
