from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgerec.core.errors import ConfigurationError, FormatError, OutputError, TrainingError
from edgerec.data.samples import Samples
from edgerec.model import training_loop
from edgerec.model.config import ResolvedConfig, TrainConfig
from edgerec.model.runs import load_run
from edgerec.model.training import train
from edgerec.model.tuning import sampler
from edgerec.model.tuning import tune as tuning
from edgerec.model.tuning.folder import Search, SearchFolder
from edgerec.model.tuning.space import Choices, Range, search_space
from edgerec.model.tuning.trials import Trial, best_trial, read_trials, write_trials
from edgerec.model.tuning.tune import finish_search, trial_config, tune
from tests.command_line import EDGEREC, document, edgerec, edgerec_here

FIXED = {"model": "dnn_rank", "batch_size": 200, "units": 4, "layers": 1, "epochs": 2, "compiled": False}
TINY = ResolvedConfig(**FIXED)
SPACE = search_space(TINY, TINY.model_fields_set)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def results(trials: list[Trial]) -> list[dict[str, Any]]:
    return [trial.model_dump(exclude={"train_seconds"}) for trial in trials]


def made(number: int, gaucs: list[float], state: Any = "complete", **settings: float) -> Trial:
    given = {name: values.low if isinstance(values, Range) else values.values[0] for name, values in SPACE.items()}
    return Trial(number=number, settings={**given, **settings}, state=state, validation_gauc=gaucs, train_seconds=1.0)


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_a_resumed_search_equals_an_uninterrupted_one(
    samples: Samples, samples_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = {"samples_path": samples_path}
    unbroken = tune(samples, TINY, tmp_path / "unbroken", trials=3, **where)
    _stop_in_trial_2(samples, samples_path, tmp_path / "broken", monkeypatch)
    work = tmp_path / ".broken.tuning"
    # Only the best run and the unfinished training are kept.
    assert names(work / "runs") == [".2.training", "1"]
    with pytest.raises(OutputError, match=r"partial results exist in .*--resume, or make the best trial .*--finish"):
        tune(samples, TINY, tmp_path / "broken", trials=3, **where)
    with pytest.raises(FormatError, match="another configuration"):
        tune(samples, TINY.model_copy(update={"seed": 2}), tmp_path / "broken", trials=3, resume=True, **where)

    resumed = tune(samples, TINY, tmp_path / "broken", trials=3, resume=True, **where)
    assert names(tmp_path) == ["broken", "unbroken"]
    assert results(resumed.trials) == results(unbroken.trials) == results(read_trials(tmp_path / "broken/trials.jsonl"))
    assert resumed.best == unbroken.best == (best_trial(resumed.trials) or resumed).number
    assert resumed.run.head.version_id[-12:] == unbroken.run.head.version_id[-12:]
    assert names(tmp_path / "broken") == ["metrics.jsonl", "model.weights.h5", "run.json", "trials.jsonl", "vocabulary"]

    head = load_run(tmp_path / "broken").head
    assert head.validation_gauc == max(trial.best for trial in resumed.trials)
    for trial in resumed.trials:
        assert trial.settings.keys() == SPACE.keys()
    chosen = head.config.model_dump()
    assert chosen == {**TINY.model_dump(), **resumed.trials[resumed.best - 1].settings}
    assert {name: chosen[name] for name in FIXED} == FIXED


def _stop_in_trial_2(samples: Samples, samples_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupt a search in the second epoch of its second trial."""
    trained: list[int] = []

    def interrupt(items: Iterable[Any], *, what: str, **_: Any) -> Iterator[Any]:
        if what == "epoch 1":
            trained.append(1)
        if what == "epoch 2" and len(trained) == 2:
            raise KeyboardInterrupt
        yield from items

    with monkeypatch.context() as patch:
        patch.setattr(training_loop, "progress", interrupt)
        with pytest.raises(KeyboardInterrupt):
            tune(samples, TINY, path, trials=3, samples_path=samples_path)


@pytest.mark.usefixtures("eager")
def test_the_first_trial_is_the_training_without_a_search(
    samples: Samples,
    samples_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _stop_in_trial_2(samples, samples_path, tmp_path / "run", monkeypatch)
    trial, search = capsys.readouterr().err.splitlines()[-2:]
    assert trial.endswith(".2.training: go on with --resume")
    assert search.endswith(".run.tuning: go on with --tune N --resume, or make the best trial the run with --finish")
    run = train(samples, TINY, tmp_path / "alone", samples_path=samples_path)
    # An interrupted search is finished with the best of its complete trials.
    tuned = finish_search(samples, tmp_path / "run", samples_path=samples_path)
    assert names(tmp_path) == ["alone", "run"]
    assert (tuned.best, len(tuned.trials)) == (1, 1)
    for one, other in zip(run.model.get_weights(), tuned.run.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(FormatError, match="no partial results"):
        tune(samples, TINY, tmp_path / "new", trials=1, resume=True)


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_a_trial_that_fails_does_not_end_the_search(
    samples: Samples, samples_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The learning rate of the third trial is not finite. Its run and its training leave no files."""
    monkeypatch.setattr(
        tuning, "_settings", lambda folder, *_: made(1, [0.5], learning_rate=rates[len(folder.trials)]).settings
    )
    rates = [1e30, 0.01, 1e30]
    tuned = tune(samples, TINY, tmp_path / "run", trials=3, samples_path=samples_path)
    assert [trial.state for trial in tuned.trials] == ["failed", "complete", "failed"]
    assert tuned.best == 2
    assert names(tmp_path) == ["run"]
    with pytest.raises(TrainingError, match="all trials have failed"):
        tune(samples, TINY, tmp_path / "none", trials=1, samples_path=samples_path)


@pytest.mark.slow
def test_a_killed_search_resumes_to_the_same_run(samples_path: Path, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("\n".join(f"{key} = {json.dumps(value)}" for key, value in FIXED.items()))
    command: list[Any] = ["train", samples_path, "--config", tmp_path / "c.toml", "--tune", "4", "--json"]
    unbroken = document(edgerec(*command, "--out", tmp_path / "unbroken"))
    trials = tmp_path / ".broken.tuning" / "trials.jsonl"
    with subprocess.Popen(
        [*EDGEREC, *map(str, command), "--out", str(tmp_path / "broken")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as child:
        while not trials.exists():
            assert child.poll() is None
            time.sleep(0.01)
        child.kill()
    resumed = document(edgerec(*command, "--out", tmp_path / "broken", "--resume"))
    for one, other in zip(unbroken["trials"], resumed["trials"], strict=True):
        assert {**one, "train_seconds": 0} == {**other, "train_seconds": 0}
    assert unbroken["version_id"][-12:] == resumed["version_id"][-12:]
    assert names(tmp_path) == ["broken", "c.toml", "unbroken"]


def test_explicit_settings_stay_fixed() -> None:
    assert not SPACE.keys() & FIXED.keys()
    assert SPACE.keys() == {"learning_rate", "gain", "unknown_rate", "average", "decay_epochs"}
    for number in range(1, 12):
        trials = [made(each, [0.5]) for each in range(1, number)]
        settings = sampler.propose(trials, SPACE, seed=1)
        assert settings.keys() == SPACE.keys()
        for name, value in settings.items():
            values = SPACE[name]
            if isinstance(values, Range):
                assert values.low <= value <= values.high
            else:
                assert value in values.values
        # The settings are valid.
        TrainConfig(**{**FIXED, **settings})
    every = set(search_space(ResolvedConfig(), ()))
    with pytest.raises(ConfigurationError, match="all settings that a search varies are set"):
        search_space(ResolvedConfig(), every)


def test_each_trial_chooses_by_its_own_layers_whether_xla_compiles() -> None:
    def compiled(fixed: list[str], layers: int) -> bool:
        config = ResolvedConfig(epochs=10, layers=1, compiled=False)
        search = Search(version="", samples="samples", digest="", config=config, fixed=fixed)
        return trial_config(search, {"layers": layers}, 10_000).compiled

    assert [compiled([], layers) for layers in (1, 2, 3)] == [False, True, True]
    assert [compiled(["compiled"], layers) for layers in (1, 3)] == [False, False]


def test_the_values_of_a_search_include_the_given_ones() -> None:
    config = ResolvedConfig(learning_rate=3.0, batch_size=7, units=5, layers=8, gain=0.1, unknown_rate=0.3, average=0.5)
    for name, values in search_space(config, ()).items():
        value = getattr(config, name)
        if isinstance(values, Range):
            assert values.low <= value <= values.high
        else:
            assert value in values.values
            assert list(values.values) == sorted(set(values.values))


def test_proposals_depend_on_the_trials_and_the_seed_and_do_not_repeat() -> None:
    trials = [made(number, [0.5 + 0.01 * number], learning_rate=0.001 * number) for number in range(1, 9)]
    assert sampler.propose(trials, SPACE, seed=1) == sampler.propose(list(trials), SPACE, seed=1)
    assert sampler.propose(trials, SPACE, seed=1) != sampler.propose(trials, SPACE, seed=2)
    assert sampler.propose(trials, SPACE, seed=1) != sampler.propose(trials[:-1], SPACE, seed=1)
    space = {"layers": Choices((1, 2))}
    trial = Trial(number=1, settings={"layers": 2}, state="complete", validation_gauc=[0.5], train_seconds=1.0)
    assert [sampler.propose([trial], space, seed=seed) for seed in range(8)] == [{"layers": 1}] * 8


def test_a_trial_below_the_median_is_pruned() -> None:
    trials = [made(number, [0.5, gauc, gauc + 0.1]) for number, gauc in enumerate((0.6, 0.65, 0.7), start=1)]
    assert sampler.should_prune(trials, [0.5, 0.64])
    assert not sampler.should_prune(trials, [0.5, 0.66])
    assert not sampler.should_prune(trials, [0.66, 0.5])
    # No trial is pruned after its first epoch, or before three trials are complete.
    assert not sampler.should_prune(trials, [0.1])
    others = [made(3, [0.5, 0.6], "pruned"), made(4, [], "failed")]
    assert not sampler.should_prune([*trials[:2], *others], [0.1, 0.1])


def test_a_proposal_avoids_the_settings_of_failed_trials() -> None:
    bad = [made(number, [], "failed", learning_rate=0.02 - 0.0001 * number) for number in range(1, 9)]
    good = [made(number, [0.7], learning_rate=0.001 + 0.0001 * number) for number in range(9, 13)]
    rates = [sampler.propose([*bad, *good], SPACE, seed=seed)["learning_rate"] for seed in range(10)]
    assert np.median(rates) < 0.01


def test_damaged_trials_are_an_error(tmp_path: Path) -> None:
    write_trials([made(1, [0.5]), made(2, [0.6])], tmp_path / "trials.jsonl")
    assert [trial.number for trial in read_trials(tmp_path / "trials.jsonl")] == [1, 2]
    assert read_trials(tmp_path / "none") == []
    lines = (tmp_path / "trials.jsonl").read_text().splitlines()
    gauc = '"validation_gauc": [0.5]'
    assert gauc in lines[0]
    for text in (
        lines[1],
        lines[0][:-9],
        "{}",
        "7",
        "\udcff",
        lines[0] + "\n\n",
        lines[0].replace('"settings"', '"other"'),
        *(lines[0].replace(gauc, f'"validation_gauc": {value}') for value in ("[NaN]", "[]", "0.5", "null", '["x"]')),
    ):
        (tmp_path / "trials.jsonl").write_bytes(text.encode(errors="surrogateescape"))
        with pytest.raises(FormatError, match=r"trials\.jsonl is damaged \(.+\): start again with --force"):
            read_trials(tmp_path / "trials.jsonl")


def test_trials_of_another_search_are_an_error(tmp_path: Path) -> None:
    search = Search(version="", samples="samples", digest="", config=TINY, fixed=sorted(FIXED))
    write_trials([made(1, [0.5])], tmp_path / "trials.jsonl")
    with pytest.raises(FormatError, match=r"damaged \(there is no run of its best trial 1\)"):
        SearchFolder(tmp_path, search)
    (tmp_path / "runs" / "1").mkdir(parents=True)
    (tmp_path / "runs" / "1" / "run.json").touch()
    assert [trial.number for trial in SearchFolder(tmp_path, search).trials] == [1]
    [line] = (tmp_path / "trials.jsonl").read_text().splitlines()
    for name, value, said in (
        ("gain", None, "trial 1 should have the settings learning_rate, gain, unknown_rate, average, decay_epochs"),
        ("more", 1, "trial 1 should have the settings"),
        ("average", 0.3, "trial 1: average should be one of 0, 0.99, 0.999; received 0.3"),
        ("gain", 11, "trial 1: gain should be from 0.5 to 4; received 11"),
        ("gain", float("nan"), r"settings\.gain.* finite number"),
        ("gain", "2x", r"settings\.gain"),
    ):
        trial = json.loads(line)
        trial["settings"] = {key: kept for key, kept in {**trial["settings"], name: value}.items() if kept is not None}
        (tmp_path / "trials.jsonl").write_text(json.dumps(trial) + "\n")
        with pytest.raises(FormatError, match=rf"trials\.jsonl is damaged \({said}"):
            SearchFolder(tmp_path, search)


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_the_command_prints_the_trials(samples_path: Path, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("\n".join(f"{key} = {json.dumps(value)}" for key, value in FIXED.items()))
    command: list[Any] = ["train", samples_path, "--config", tmp_path / "c.toml", "--tune", "2", "--out"]
    found = document(edgerec_here(*command, tmp_path / "run", "--epochs", "1", "--json"))
    assert [trial["number"] for trial in found["trials"]] == [1, 2]
    assert found["validation_gauc"] == max(found["trials"][found["best_trial"] - 1]["validation_gauc"])
    assert "learning_rate" in found["trials"][0]["settings"]
    assert "layers" not in found["trials"][0]["settings"]
    shown = edgerec_here(*command, tmp_path / "other", "--epochs", "1")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.split()[:4] == ["trial", "state", "GAUC", "epochs"]
    assert load_run(tmp_path / "other").head.version_id in shown.stdout
    lines = [line for line in shown.stderr.splitlines() if line.startswith("trial 2 of 2: ")]
    assert len(lines) == 2
    assert "--finish keeps" in edgerec_here(*command, tmp_path / "run", "--finish").stderr
