from __future__ import annotations

import importlib.metadata
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tensorflow as tf

from edgerec.cli.tensorflow import import_tensorflow
from edgerec.core import atomic
from edgerec.core.errors import ConfigurationError, FormatError, InputError, OutputError, TrainingError
from edgerec.data.samples import NOT_EXPOSED, TRAIN, VALIDATION, Samples, open_samples
from edgerec.model import finishing, training_loop
from edgerec.model.batches import make_batch
from edgerec.model.checkpoints import WorkFolder, work_folder
from edgerec.model.config import ResolvedConfig, TrainConfig, load_config
from edgerec.model.finishing import finish
from edgerec.model.metrics import gauc
from edgerec.model.progress import Progress
from edgerec.model.runs import Run, load_run, model_for, save_weights, tool_versions, writing
from edgerec.model.training import train
from tests.full_disk import files_up_to
from tests.model.scoring import score
from tests.synthetic import relabelled, whole

PAPER = ResolvedConfig(batch_size=64, epochs=2, units=4, layers=1, unknown_rate=0.3, compiled=False)
TINY = PAPER.model_copy(update={"model": "dnn_rank"})
"""Settings for tests that do not depend on the model. They use the fastest model."""
QUICK = TINY.model_copy(update={"batch_size": 32})
AVERAGED = TINY.model_copy(update={"average": 0.8})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def history(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


def validation_gauc(run: Run, samples: Samples) -> float:
    scored = score(lambda inputs: run.model(inputs), samples, VALIDATION)
    return gauc(scored.group, scored.label, scored.logit)


@pytest.fixture(scope="module")
def other_keys(tmp_path_factory: pytest.TempPathFactory, samples_path: Path) -> Samples:
    """Return samples that differ only in the keys of a vocabulary, so a model of the other samples fits them."""
    path = Path(shutil.copytree(samples_path, tmp_path_factory.mktemp("other") / "samples"))
    np.save(path / "vocabulary" / "shop.npy", np.load(path / "vocabulary" / "shop.npy") + 1000)
    return open_samples(path)


def test_a_run_is_complete_and_better_than_chance(run_path: Path) -> None:
    rows = history(run_path)
    assert [row["epoch"] for row in rows] == [1, 2]
    assert rows[1]["loss"] < rows[0]["loss"] - 0.005
    assert names(run_path) == ["metrics.jsonl", "model.weights.h5", "run.json", "vocabulary"]
    assert names(run_path.parent) == ["run"]
    head = load_run(run_path).head
    assert head.validation_gauc == max(row["validation_gauc"] for row in rows)
    assert head.parameters == sum(weight.size for weight in load_run(run_path).model.get_weights())


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("config", [AVERAGED, pytest.param(PAPER, marks=pytest.mark.slow)], ids=lambda one: one.model)
def test_a_resumed_training_equals_an_uninterrupted_one(
    samples: Samples,
    samples_path: Path,
    other_keys: Samples,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    config: TrainConfig,
) -> None:
    where = {"samples_path": samples_path}
    unbroken = train(samples, config, tmp_path / "unbroken", **where)
    with monkeypatch.context() as patch:
        patch.setattr(training_loop, "progress", _interrupt_epoch_2)
        with pytest.raises(KeyboardInterrupt):
            train(samples, config, tmp_path / "broken", **where)
    assert names(tmp_path) == [".broken.training", "unbroken"]
    with pytest.raises(OutputError, match=r"partial results exist in .*--resume"):
        train(samples, config, tmp_path / "broken", **where)
    with pytest.raises(FormatError, match=r"another configuration \(seed 1, now 2\)"):
        train(samples, config.model_copy(update={"seed": 2}), tmp_path / "broken", resume=True, **where)
    with pytest.raises(FormatError, match="other samples"):
        train(samples, config, tmp_path / "broken", samples_path=tmp_path / "others", resume=True)
    with pytest.raises(FormatError, match=r"other samples: those in .* were replaced since then"):
        train(other_keys, config, tmp_path / "broken", resume=True, **where)

    resumed = train(samples, config, tmp_path / "broken", resume=True, **where)
    assert names(tmp_path) == ["broken", "unbroken"]
    for one, other in zip(unbroken.model.get_weights(), resumed.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    kept = ("epoch", "loss", "validation_gauc")
    assert [[row[key] for key in kept] for row in history(tmp_path / "unbroken")] == [
        [row[key] for key in kept] for row in history(tmp_path / "broken")
    ]
    assert unbroken.head.version_id[-12:] == resumed.head.version_id[-12:]

    with pytest.raises(OutputError, match="exists already"):
        train(samples, config, tmp_path / "broken", **where)
    with pytest.raises(FormatError, match="no partial results"):
        train(samples, config, tmp_path / "new", resume=True, **where)
    versions = {unbroken.head.version_id[-12:]}
    for seed in (1, 2):
        another = TINY.model_copy(update={"seed": seed, "epochs": 1})
        other = train(samples, another, tmp_path / "broken", force=True, **where)
        assert load_run(tmp_path / "broken").head == other.head
        versions.add(other.head.version_id[-12:])
    assert len(versions) == 3


def _interrupt_epoch_2(items: Iterable[Any], *, what: str, **_: Any) -> Iterator[Any]:
    for number, item in enumerate(items):
        if what == "epoch 2" and number == 1:
            raise KeyboardInterrupt
        yield item


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("compiled", [True, False])
def test_training_logs_its_sizes_before_the_first_step(
    samples: Samples,
    samples_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    compiled: bool,
) -> None:
    def stop(items: Iterable[Any], **_: Any) -> Iterator[Any]:
        raise KeyboardInterrupt

    monkeypatch.setattr(training_loop, "progress", stop)
    config = TrainConfig(**{**TINY.model_dump(exclude={"gain"}), "compiled": compiled})
    with pytest.raises(KeyboardInterrupt):
        train(samples, config, tmp_path / "run", samples_path=samples_path)
    building, chosen, warning, line, first, last = capsys.readouterr().err.splitlines()
    assert building == "building the model"
    assert first.startswith("the first step takes longest: ")
    assert last == "training: no epoch of this training is complete, so nothing of it is kept"
    split = samples.head.splits[TRAIN]
    assert warning.startswith(
        f"train: batch_size {config.batch_size} is too large for an epoch of {split.pages:,} requests: "
    )
    assert chosen == f"{split.pages:,} training requests in an epoch: gain 1.0"
    assert line.startswith(f"train {config.model}: ")
    counts = f"{split.requests:,} requests with {split.exposures:,} shown candidates"
    assert f" parameters; {counts}; at most 2 epochs of " in line
    assert "thread" in line or "GPU" in line
    assert line.endswith(", with XLA: each new shape of batch is compiled, so the first epoch takes longer") == compiled


def test_stderr_is_redirected_only_for_the_first_import_of_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models of other packages ask for it again, also while the training has threads."""
    import_tensorflow()
    monkeypatch.setattr("edgerec.cli.tensorflow.quiet_stderr", pytest.fail)
    import_tensorflow()


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory, samples: Samples, samples_path: Path) -> Path:
    """Return the folder of a training of two `QUICK` epochs that stopped in the second epoch."""
    folder = tmp_path_factory.mktemp("stopped")
    tf.config.run_functions_eagerly(True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_loop, "progress", _interrupt_epoch_2)
        with pytest.raises(KeyboardInterrupt):
            train(samples, QUICK, folder / "run", samples_path=samples_path)
    tf.config.run_functions_eagerly(False)
    assert names(folder) == [".run.training"]
    return folder / ".run.training"


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("where", ["save_run", "publish_folder"])
def test_a_training_that_failed_at_its_end_can_finish(
    samples: Samples, samples_path: Path, stopped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    shutil.copytree(stopped, tmp_path / ".run.training")
    with monkeypatch.context() as patch:
        patch.setattr(atomic if where == "publish_folder" else finishing, where, _no_space)
        with pytest.raises(OSError, match="No space left"):
            train(samples, QUICK, tmp_path / "run", samples_path=samples_path, resume=True)
    assert names(tmp_path) == [".run.training"]
    with monkeypatch.context() as patch:
        patch.setattr(training_loop, "progress", _no_space)
        run = train(samples, QUICK, tmp_path / "run", samples_path=samples_path, resume=True)
    assert names(tmp_path) == ["run"]
    assert names(tmp_path / "run") == ["metrics.jsonl", "model.weights.h5", "run.json", "vocabulary"]
    assert [row["epoch"] for row in history(tmp_path / "run")] == [1, 2]
    assert load_run(tmp_path / "run").head == run.head


def test_a_stopped_training_is_finished_with_its_best_epoch(
    samples: Samples, samples_path: Path, other_keys: Samples, stopped: Path, tmp_path: Path
) -> None:
    work = tmp_path / ".run.training"
    shutil.copytree(stopped, work)
    # The training was killed after it wrote the history of epoch 2 and before it wrote the progress.
    with (work / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 2}\n')
    best = model_for(samples, QUICK)
    best.load_weights(work / "best-1.weights.h5")
    with pytest.raises(FormatError, match=f"was started with other samples: use those in {samples_path}"):
        finish(samples, tmp_path / "run", samples_path=tmp_path)
    with pytest.raises(FormatError, match=r"other samples: those in .* were replaced since then"):
        finish(other_keys, tmp_path / "run", samples_path=samples_path)
    assert names(tmp_path) == [".run.training"]

    run = finish(samples, tmp_path / "run", samples_path=samples_path)
    assert names(tmp_path) == ["run"]
    assert (run.head.best_epoch, run.head.epochs_trained, run.head.finished_early) == (1, 1, True)
    assert [row["epoch"] for row in history(tmp_path / "run")] == [1]
    kept = load_run(tmp_path / "run")
    assert kept.head == run.head
    for one, other in zip(best.get_weights(), kept.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_existing_run_is_replaced_by_a_finished_training_only_with_force(
    samples: Samples, samples_path: Path, run_path: Path, stopped: Path, tmp_path: Path
) -> None:
    shutil.copytree(stopped, tmp_path / ".run.training")
    shutil.copytree(run_path, tmp_path / "run")
    with pytest.raises(OutputError, match="exists already"):
        finish(samples, tmp_path / "run", samples_path=samples_path)
    assert names(tmp_path) == [".run.training", "run"]
    finish(samples, tmp_path / "run", samples_path=samples_path, force=True)
    assert names(tmp_path) == ["run"]
    assert load_run(tmp_path / "run").head.finished_early


def test_only_a_training_with_a_complete_epoch_can_be_finished(
    samples: Samples, run_path: Path, tmp_path: Path
) -> None:
    with pytest.raises(FormatError, match=r"there is no unfinished training of .*run.*: leave out --finish"):
        finish(samples, tmp_path / "run")
    assert names(tmp_path) == []
    with pytest.raises(FormatError, match=r"the run .* is complete: leave out --finish"):
        finish(samples, run_path)
    (tmp_path / ".run.training").mkdir()
    text = Progress(config=QUICK, samples=str(samples.path)).model_dump_json()
    (tmp_path / ".run.training" / "progress.json").write_text(text)
    with pytest.raises(FormatError, match=r"\.run\.training has no complete epoch: leave out --finish"):
        finish(samples, tmp_path / "run")


def _no_space(*_: Any, **__: Any) -> Any:
    raise OSError(28, "No space left on device")


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("what", ["save_best", "record"])
def test_a_full_disk_is_an_error_and_training_can_resume_after_the_last_complete_epoch(
    samples: Samples, samples_path: Path, stopped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    shutil.copytree(stopped, tmp_path / ".run.training")
    monkeypatch.setattr(training_loop, "_validation_gauc", lambda _, __, number: 1 - 0.1 / number)
    write = getattr(WorkFolder, what)

    def limited(*args: Any) -> None:
        with files_up_to(1024):
            write(*args)

    with monkeypatch.context() as patch:
        patch.setattr(WorkFolder, what, limited)
        with pytest.raises(OutputError, match=r"\.run\.training .*free some space .*--resume"):
            train(samples, QUICK, tmp_path / "run", samples_path=samples_path, resume=True)
    assert json.loads((tmp_path / ".run.training" / "progress.json").read_text())["epoch"] == 1
    run = train(samples, QUICK, tmp_path / "run", samples_path=samples_path, resume=True)
    assert names(tmp_path) == ["run"]
    assert run.head.validation_gauc == max(row["validation_gauc"] for row in history(tmp_path / "run"))


def test_weights_are_not_written_without_enough_space(
    samples: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HDF5 may end the process if the disk becomes full while it writes."""
    model = model_for(samples, QUICK)
    monkeypatch.setattr(type(model), "save_weights", lambda *_, **__: pytest.fail("weights were written"))
    with files_up_to(65536), pytest.raises(OSError, match="too large"):
        save_weights(model, tmp_path / "a.weights.h5")
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        RuntimeError("Can't decrement id ref count (errno = 28)\nmore"),
        tf.errors.ResourceExhaustedError(None, None, "No space left on device"),
    ],
)
def test_every_error_of_writing_becomes_an_output_error(tmp_path: Path, error: Exception) -> None:
    with (
        pytest.raises(OutputError, match=r"cannot write into .* \(.+\): free some space .*then go on with --resume$"),
        writing(tmp_path, then="go on with --resume"),
    ):
        raise error


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _another_weight(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        found: list[h5py.Dataset] = []
        file.visititems(lambda _, item: found.append(item) if isinstance(item, h5py.Dataset) else None)
        found[0][...] = found[0][...] + 1


def _garbage(path: Path) -> None:
    path.write_bytes(b"\x07" * path.stat().st_size)


@pytest.mark.parametrize("damage", [Path.unlink, _cut, _garbage], ids=["gone", "cut", "garbage"])
@pytest.mark.parametrize(
    "name", ["checkpoint/epoch-1.index", "checkpoint/epoch-1.data-00000-of-00001", "best-1.weights.h5", "metrics.jsonl"]
)
def test_damaged_files_are_found_when_training_is_resumed(
    samples: Samples, samples_path: Path, stopped: Path, tmp_path: Path, name: str, damage: Callable[[Path], None]
) -> None:
    shutil.copytree(stopped, tmp_path / ".run.training")
    damage(tmp_path / ".run.training" / name)
    with pytest.raises(FormatError, match=r"unfinished training .* is damaged \(.+\): start again with --force"):
        train(samples, QUICK, tmp_path / "run", samples_path=samples_path, resume=True)
    assert names(tmp_path) == [".run.training"]


def test_changed_weights_and_damaged_progress_are_found_when_training_is_resumed(
    samples: Samples, samples_path: Path, stopped: Path, tmp_path: Path
) -> None:
    work = tmp_path / ".run.training"
    shutil.copytree(stopped, work)
    _another_weight(work / "best-1.weights.h5")
    with pytest.raises(FormatError, match="has other weights"):
        train(samples, QUICK, tmp_path / "run", samples_path=samples_path, resume=True)
    _cut(work / "progress.json")
    with pytest.raises(FormatError, match="start again with --force"):
        train(samples, QUICK, tmp_path / "run", samples_path=samples_path, resume=True)
    # A damaged training may still be valuable, so its folder is replaced only with --force.
    with pytest.raises(OutputError, match="partial results"):
        train(samples, QUICK, tmp_path / "run", samples_path=samples_path)
    with work_folder(tmp_path / "run", QUICK, "samples", digest="", force=True, resume=False):
        assert names(work) == ["progress.json"]


def test_a_training_that_stops_in_the_first_epoch_leaves_no_files(
    samples: Samples, samples_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_loop.TrainingLoop, "run", _interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(samples, QUICK, tmp_path / "run", samples_path=samples_path)
    assert names(tmp_path) == []


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("left", [".progress.json.x1", "progress.json"])
def test_files_of_a_training_killed_in_the_first_epoch_are_replaced(tmp_path: Path, left: str) -> None:
    work = tmp_path / ".run.training"
    (work / "checkpoint" / "epoch-1_temp").mkdir(parents=True)
    if left != "progress.json":
        shutil.rmtree(work / "checkpoint")
    (work / left).write_text(Progress(config=TINY, samples="others").model_dump_json())
    with work_folder(tmp_path / "run", QUICK, "samples", digest="", force=False, resume=False) as found:
        assert names(work) == ["progress.json"]
        assert found.so_far == Progress(config=QUICK, samples="samples")
    assert names(tmp_path) == []


def test_a_published_training_is_not_resumed_if_its_removal_was_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / ".run.training"
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda folder, **_: (Path(folder) / "progress.json").unlink())
        with work_folder(tmp_path / "run", QUICK, "samples", digest="", force=False, resume=False):
            (work / "best-1.weights.h5").touch()
    with work_folder(tmp_path / "run", QUICK, "samples", digest="", force=False, resume=False):
        assert names(work) == ["progress.json"]


def test_a_folder_that_is_not_a_training_is_left_unchanged(tmp_path: Path) -> None:
    (tmp_path / ".run.training").mkdir()
    (tmp_path / ".run.training" / "mine").touch()
    with (
        pytest.raises(OutputError, match="start again with --force"),
        work_folder(tmp_path / "run", QUICK, "samples", digest="", force=False, resume=False),
    ):
        pass
    assert names(tmp_path / ".run.training") == ["mine"]


def test_the_error_for_a_training_without_progress_asks_for_force(tmp_path: Path) -> None:
    work = tmp_path / ".run.training"
    (work / "checkpoint").mkdir(parents=True)
    (work / "checkpoint" / "epoch-1.index").touch()
    for resume, kind in ((False, OutputError), (True, FormatError)):
        with (
            pytest.raises(kind, match="start again with --force") as caught,
            work_folder(tmp_path / "run", QUICK, "samples", digest="", force=False, resume=resume),
        ):
            pass
        assert "--resume" not in str(caught.value)
    with work_folder(tmp_path / "run", QUICK, "samples", digest="", force=True, resume=False):
        assert names(work) == ["progress.json"]


def test_two_trainings_do_not_share_a_folder(tmp_path: Path) -> None:
    with (
        work_folder(tmp_path / "run", QUICK, "samples", digest="", force=False, resume=False),
        pytest.raises(OutputError, match="another process writes to"),
        work_folder(tmp_path / "run", QUICK, "samples", digest="", force=True, resume=False),
    ):
        pass


@pytest.mark.usefixtures("eager")
def test_a_resumed_training_loads_the_best_weights_of_its_progress(
    samples: Samples, samples_path: Path, stopped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The training stops after it has written the weights of a better epoch and before it writes the progress."""
    work = tmp_path / ".run.training"
    shutil.copytree(stopped, work)
    best = (work / "best-1.weights.h5").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(training_loop, "_validation_gauc", lambda *_: 0.99)
        patch.setattr(WorkFolder, "record", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            train(samples, QUICK, tmp_path / "run", samples_path=samples_path, resume=True)
    assert names(work) == ["best-1.weights.h5", "best-2.weights.h5", "checkpoint", "metrics.jsonl", "progress.json"]
    assert (work / "best-1.weights.h5").read_bytes() == best
    monkeypatch.setattr(training_loop, "_validation_gauc", lambda *_: 0.0)
    run = train(samples, QUICK, tmp_path / "run", samples_path=samples_path, resume=True)
    assert run.head.best_epoch == 1
    assert validation_gauc(load_run(tmp_path / "run"), samples) == pytest.approx(run.head.validation_gauc, abs=1e-9)


@pytest.mark.usefixtures("eager")
def test_old_files_are_removed_after_the_progress_is_written(tmp_path: Path, samples: Samples) -> None:
    model = model_for(samples, QUICK)
    checkpoint = tf.train.Checkpoint(model=model)
    with work_folder(tmp_path / "run", QUICK, "samples", digest="", force=False, resume=False) as work:
        for number in (1, 2):
            work.save_best(model, number)
            so_far = work.so_far.model_copy(update={"epoch": number, "best_epoch": number})
            # TensorFlow leaves such a folder if it is killed while it writes.
            (work.path / "checkpoint" / "epoch-9_temp").mkdir(parents=True)
            work.record(checkpoint, so_far, {"epoch": number})
        assert names(work.path) == ["best-2.weights.h5", "checkpoint", "metrics.jsonl", "progress.json"]
        assert names(work.path / "checkpoint") == ["epoch-2.data-00000-of-00001", "epoch-2.index"]


@pytest.mark.usefixtures("eager")
def test_averaged_weights_are_validated_and_saved_but_do_not_change_training(
    samples: Samples, samples_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[list[np.ndarray]] = []

    def recording(model: Any, *rest: Any) -> Any:
        step = make(model, *rest)

        def recorded(*batch: Any) -> Any:
            loss = step(*batch)
            steps.append([variable.numpy() for variable in model.trainable_variables])
            return loss

        return recorded

    make = training_loop.train_step
    monkeypatch.setattr(training_loop, "train_step", recording)
    # The first epoch is made the best one, so that the saved weights are not those of the last epoch.
    monkeypatch.setattr(training_loop, "_validation_gauc", _first_is_best(training_loop._validation_gauc))
    train(samples, QUICK, tmp_path / "own", samples_path=samples_path)
    own, steps = steps, []
    run = train(samples, QUICK.model_copy(update={"average": 0.8}), tmp_path / "run", samples_path=samples_path)

    # Validating the averaged weights after each epoch must not change the training steps.
    assert len(own) == len(steps) > 4
    for one, other in zip(own, steps, strict=True):
        for mine, theirs in zip(one, other, strict=True):
            np.testing.assert_array_equal(mine, theirs)
    expected = steps[0]
    for weights in steps[1 : len(steps) // 2]:
        expected = [0.8 * average + 0.2 * weight for average, weight in zip(expected, weights, strict=True)]
    assert run.head.best_epoch == 1
    kept = load_run(tmp_path / "run")
    for variable, average in zip(kept.model.trainable_variables, expected, strict=True):
        # Float32 sums in another order differ slightly.
        np.testing.assert_allclose(variable.numpy(), average, rtol=0, atol=1e-6, err_msg=variable.path)
    assert validation_gauc(kept, samples) == pytest.approx(run.head.validation_gauc, abs=1e-9)
    assert run.head.validation_gauc != history(tmp_path / "own")[0]["validation_gauc"]


def _first_is_best(value: Callable[..., float]) -> Callable[..., float]:
    return lambda scorer, samples, number: value(scorer, samples, number) if number == 1 else 0.0


def test_versions_of_packages_with_other_names_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorFlow may also be installed under the name tensorflow-cpu or tf-nightly."""

    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert tool_versions("tensorflow", "none-such") == {"tensorflow": tf.__version__, "none-such": "unknown"}


@pytest.mark.usefixtures("eager")
def test_training_stops_after_patience_and_saves_the_best_epoch(
    samples: Samples, samples_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = TINY.model_copy(update={"learning_rate": 0.2, "epochs": 12, "patience": 2, "batch_size": 1000})
    run = train(samples, config, tmp_path / "run", samples_path=samples_path)
    values = [row["validation_gauc"] for row in history(tmp_path / "run")]
    best = int(np.argmax(values)) + 1
    assert (run.head.best_epoch, run.head.validation_gauc) == (best, max(values))
    assert len(values) == best + 2 < 12
    assert f"stopped after epoch {len(values)}: 2 epochs without a better validation GAUC" in capsys.readouterr().err
    # The saved weights are those of the best epoch, not of the last one.
    assert validation_gauc(load_run(tmp_path / "run"), samples) == pytest.approx(max(values), abs=1e-9)
    assert values[-1] != max(values)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(
    ("settings", "trained"),
    [
        ({"decay_epochs": 0}, 3),
        ({"decay_epochs": 2}, 3),
        # The learning rate still falls after epoch 3.
        ({"decay_epochs": 5}, 5),
        ({"decay_epochs": 9}, 6),
    ],
)
def test_patience_stops_no_training_while_the_learning_rate_falls(
    samples: Samples,
    samples_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, Any],
    trained: int,
) -> None:
    monkeypatch.setattr(training_loop, "_validation_gauc", lambda _, __, number: 1 / number)
    config = TINY.model_copy(update={"epochs": 6, "patience": 2, "batch_size": 1000, **settings})
    run = train(samples, config, tmp_path / "run", samples_path=samples_path)
    assert (run.head.best_epoch, run.head.epochs_trained) == (1, trained)


@pytest.mark.usefixtures("eager")
def test_a_training_can_be_stopped_after_an_epoch(
    samples: Samples, samples_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[float]] = []

    def stop(gaucs: Sequence[float]) -> bool:
        asked.append(list(gaucs))
        return len(gaucs) == 2

    config = TINY.model_copy(update={"epochs": 3, "batch_size": 1000})
    run = train(samples, config, tmp_path / "run", samples_path=samples_path, stop=stop)
    values = [row["validation_gauc"] for row in history(tmp_path / "run")]
    assert asked == [values[:1], values]
    assert (run.head.epochs_trained, run.head.finished_early) == (2, True)
    # The last epoch ends a training anyway.
    config = config.model_copy(update={"epochs": 2})
    assert not train(samples, config, tmp_path / "other", samples_path=samples_path, stop=stop).head.finished_early


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(("batch_size", "what"), [(43, "loss"), (1000, "scores")])
def test_a_loss_that_is_not_finite_is_an_error(
    samples: Samples, samples_path: Path, tmp_path: Path, batch_size: int, what: str
) -> None:
    config = TINY.model_copy(update={"learning_rate": 1e30, "batch_size": batch_size})
    with pytest.raises(TrainingError, match=rf"the {what} became (nan|-?inf) in epoch 1: lower .* train again"):
        train(samples, config, tmp_path / "run", samples_path=samples_path)
    # No epoch was finished, so no folder is left that would stop the next training.
    assert names(tmp_path) == []


def test_the_error_of_a_later_epoch_says_how_to_continue(samples: Samples) -> None:
    batch = make_batch(whole(samples, TRAIN), np.arange(2))
    with pytest.raises(TrainingError, match=r"epoch 2: lower learning_rate .* start again with --force"):
        training_loop._finite_loss(lambda *_: (float("nan"), 1.0), batch, 2)


def test_the_learning_rate_falls_by_a_cosine() -> None:
    config = TINY.model_copy(update={"learning_rate": 1.0, "decay_epochs": 4})
    rates = [training_loop._learning_rate(config, epochs) for epochs in (0, 2, 4, 8)]
    assert rates == pytest.approx([1.0, 0.55, 0.1, 0.1])
    assert 0.55 < training_loop._learning_rate(config, 1.5) < training_loop._learning_rate(config, 1.0) < 1.0
    assert training_loop._learning_rate(TINY, 99) == TINY.learning_rate


@pytest.mark.parametrize(
    ("split", "labels", "said"),
    [
        (TRAIN, 0, "training split has 0 clicks"),
        (TRAIN, 1, "training split has .* can only be trained if there are both clicked and unclicked"),
        (TRAIN, NOT_EXPOSED, "on 0 exposures"),
        (VALIDATION, 0, "validation split has no request with a clicked and an unclicked"),
        (VALIDATION, NOT_EXPOSED, "validation split"),
    ],
)
def test_splits_without_both_labels_are_refused(
    samples: Samples, tmp_path: Path, split: str, labels: int, said: str
) -> None:
    without = relabelled(samples, tmp_path / "samples", split, lambda label: np.full(len(label), labels))
    with pytest.raises(InputError, match=said):
        train(without, TINY, tmp_path / "run", samples_path=tmp_path / "samples")
    assert names(tmp_path) == ["samples"]


def test_options_override_the_settings_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("units = 16\nseed = 3\n")
    assert load_config(None, {"seed": None}) == TrainConfig()
    config = load_config(tmp_path / "c.toml", {"seed": 4, "epochs": None})
    assert config == TrainConfig(units=16, seed=4)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "batchsize = 16",
            r"batchsize is not a known key \(did you mean batch_size\?\); the known keys are: model, units, ",
        ),
        ("[model.dlcm]", r"received the table \[model\.dlcm\]: write \[models\.dlcm\]"),
        ("units = 0", r"units should be at least 1; received 0: correct it \(docs/training\.md"),
        ("units = '16'", "units should be a whole number; received '16'"),
        ("units = true", "units should be a whole number; received True"),
        ("compiled = 'yes'", "compiled should be true, false or \"auto\"; received 'yes'"),
        ("learning_rate = nan", "learning_rate"),
        ("unknown_rate = 1.0", "unknown_rate"),
        ("model = 'crbna'", r"model: there is no model 'crbna' \(did you mean crban\?\); there are: dnn_rank"),
        ("units = ", "not valid TOML"),
        ("\udcff", "not valid TOML"),
        (None, "No such file"),
    ],
)
def test_faulty_settings_are_an_error(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / "c.toml").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ConfigurationError, match=rf"configuration .*c\.toml.*{said}"):
        load_config(tmp_path / "c.toml", {})
