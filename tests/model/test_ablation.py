from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.table import Table

from edgerec.cli.tables.learning import ablation_table
from edgerec.core.errors import ConfigurationError, FormatError, OutputError, TrainingError
from edgerec.data.samples import TEST, Samples
from edgerec.model import evaluation, training_loop
from edgerec.model.ablation import ablate as module
from edgerec.model.ablation.ablate import ablate
from edgerec.model.ablation.cells import Cell, load_sums
from edgerec.model.ablation.config import TREES, AblationConfig, load_ablation
from edgerec.model.ablation.document import ablation_document
from edgerec.model.config import TrainConfig
from edgerec.model.runs import load_run
from edgerec.model.tally import UserSums
from edgerec.rankers.registry import MODELS
from edgerec.reports.ablation.page import page
from edgerec.reports.ablation.table import columns_of, gap_note, markdown, table_rows

TINY = {"batch_size": 64, "epochs": 1, "units": 4, "layers": 1, "compiled": False}


def config(*models: str, seeds: int = 2, trees: bool = False) -> AblationConfig:
    configs = {name: TrainConfig(model=name, **TINY) for name in models}
    return AblationConfig(configs, tuple(range(1, seeds + 1)), trees)


def cell(model: str, seed: int, aucs: list[float]) -> Cell:
    """Return a cell with twenty users for each value of `aucs`. Each user has ten impressions and an AUC near it."""
    rng = np.random.default_rng(seed)
    values = np.repeat(aucs, 20) + rng.normal(0, 0.01, 20 * len(aucs))
    impressions = np.full(len(values), 10.0)
    sums = UserSums(np.arange(len(values)), values * impressions, impressions, np.ones(len(values)))
    figures = {
        "gauc": sums.gauc, "auc": 0.7, "ndcg@5": 0.5, "ndcg@10": 0.6, "logloss": 0.3, "calibration_error": 0.01,
    }  # fmt: skip
    return Cell(model, seed, 100, 5.0, figures, sums)


BASELINES: dict[str, Any] = {
    "split": TEST, "requests": 40, "impressions": 400, "baselines": {"base_order": 0.5, "truth": 0.9},
}  # fmt: skip


def document(trees: bool = True) -> dict[str, Any]:
    cells = [
        made
        for seed in (1, 2)
        for made in (
            cell("dlcm", seed, [0.6, 0.7]),
            cell("crban", seed, [0.66, 0.76]),
            *([cell(TREES, seed, [0.64, 0.74])] if trees else []),
        )
    ]
    return ablation_document(cells, baselines=BASELINES, config=config("dlcm", "crban", trees=trees), samples="s")


def test_the_rows_of_the_document_equal_values_computed_by_hand() -> None:
    dlcm, crban, trees = document()["rows"]
    assert dlcm["gauc_mean"] == pytest.approx(0.65, abs=0.003)
    assert (dlcm["p_vs_dlcm"], dlcm["vs_dlcm"]) == (None, None)
    assert crban["vs_dlcm"] == pytest.approx(crban["gauc_mean"] - dlcm["gauc_mean"])
    assert crban["relative_vs_dlcm"] == pytest.approx(0.06 / 0.65, abs=0.01)
    # The AUCs of users differ much more than those of models. A test that compares models user by user still finds the
    # difference.
    assert crban["gauc_ci95"][1] - crban["gauc_ci95"][0] > 0.02
    assert crban["p_vs_dlcm"] < 1e-6
    assert trees[f"p_vs_{TREES}"] is None
    assert crban[f"p_vs_{TREES}"] < 1e-3
    assert crban["gap_closed"] == pytest.approx((crban["gauc_mean"] - 0.5) / 0.4)
    assert crban["gauc_sd"] == pytest.approx(np.std(crban["gauc_seeds"], ddof=1))
    assert [row["model"] for row in document(trees=False)["rows"]] == ["dlcm", "crban"]


def test_the_table_and_the_page_show_the_document() -> None:
    found = document()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    for brief in (False, True):
        widths = {len(row) for row in [columns_of(found, brief=brief), *table_rows(found, brief=brief)]}
        assert len(widths) == 1
    table, *notes = ablation_table(found).renderables
    assert isinstance(table, Table)
    assert (table.row_count, notes) == (3 + 2, [])
    text = markdown(found)
    assert text.count("\n| ") == (2 + 3) + (2 + 2)
    html = page(found)
    assert html == page(found)
    assert "<script" in html
    assert "http://" not in html.split("</script>")[-1]
    for row in found["rows"]:
        assert f"<td>{row['model']}</td>" in html


def test_an_unfinished_ablation_is_resumed_with_other_models_and_fewer_seeds(
    samples: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[tuple[str, int]] = []

    def instant(_: Samples, settings: TrainConfig, run: Path, **__: Any) -> Cell:
        if len(trained) == 3:
            raise KeyboardInterrupt
        run.mkdir()
        (run / "run.json").write_text("{}")
        trained.append((settings.model, settings.seed))
        # The figures are of no interest: the test asks which models are trained, and not how well.
        return cell(settings.model, settings.seed, [0.6, 0.7])

    monkeypatch.setattr(module, "train_cell", instant)
    out = tmp_path / "table"
    with pytest.raises(KeyboardInterrupt):
        ablate(samples, config("dnn_rank", "dlcm"), out)
    assert trained == [("dnn_rank", 1), ("dlcm", 1), ("dnn_rank", 2)]
    trained.clear()
    found = ablate(samples, config("dlcm", "crban", seeds=1), out, resume=True)
    assert trained == [("crban", 1)]
    assert [(row["model"], len(row["gauc_seeds"])) for row in found["rows"]] == [("dlcm", 1), ("crban", 1)]
    assert found["seeds"] == [1]


def test_a_negative_gap_closed_is_explained() -> None:
    found = document()
    assert gap_note(found) is None
    assert "worse" not in page(found) + markdown(found)
    found["rows"][0]["gap_closed"] = -0.12
    note = "A negative gap closed: the model is worse than the served order."
    assert ablation_table(found).renderables[1:] == [note]
    assert f"\n\n{note}\n\n" in markdown(found)
    assert f"<p>{note}</p>" in page(found)


@pytest.mark.parametrize("models", [[], [""], ["", ""]])
def test_an_empty_list_of_models_does_not_mean_all_models(models: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="--models names no model"):
        load_ablation(None, models=models)


@pytest.mark.usefixtures("eager")
@pytest.mark.slow
@pytest.mark.parametrize("seeds", [1, 2])
def test_a_resumed_ablation_gives_the_same_table(
    samples: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seeds: int
) -> None:
    settings, out = config("dnn_rank", "dlcm", seeds=seeds), tmp_path / "table"
    unbroken = ablate(samples, settings, tmp_path / "unbroken")
    trained: list[str] = []

    def counting(*arguments: Any, **named: Any) -> Cell:
        if len(trained) == 2 * seeds - 1:
            raise KeyboardInterrupt
        found = train_cell(*arguments, **named)
        trained.append(found.model)
        return found

    train_cell = module.train_cell
    with monkeypatch.context() as patch:
        patch.setattr(module, "train_cell", counting)
        with pytest.raises(KeyboardInterrupt):
            ablate(samples, settings, out)
    assert not out.exists()
    with pytest.raises(OutputError, match="--resume"):
        ablate(samples, settings, out)
    longer = AblationConfig({"dlcm": TrainConfig(model="dlcm", **{**TINY, "epochs": 2})}, (1,))
    with pytest.raises(FormatError, match=r"configs\.dlcm\.epochs is 1, now 2"):
        ablate(samples, longer, out, resume=True)
    trained.clear()
    with monkeypatch.context() as patch:
        patch.setattr(module, "train_cell", counting)
        found = ablate(samples, settings, out, resume=True)
    assert trained == ["dlcm"]
    for row, other in zip(found["rows"], unbroken["rows"], strict=True):
        assert {**row, "train_seconds": 0} == {**other, "train_seconds": 0}
    assert json.loads((out / "ablation.json").read_text())["rows"] == found["rows"]
    assert (out / "ablation.html").read_text() == page(found)
    # The folder contains each run, so that runs can be exported.
    head = load_run(out / "runs" / f"dlcm-seed-{seeds}").head
    assert (head.config.model, head.config.seed) == ("dlcm", seeds)
    sums = load_sums(out / f"dlcm-seed-{seeds}.npz")
    assert sums.gauc == pytest.approx(found["rows"][1]["gauc_seeds"][-1])
    with pytest.raises(OutputError, match="exists already"):
        ablate(samples, settings, out)


@pytest.mark.usefixtures("eager")
def test_a_finished_epoch_is_not_trained_again(
    samples: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configs = {"dlcm": TrainConfig(model="dlcm", **{**TINY, "epochs": 2})}
    settings, out = AblationConfig(configs, (1,)), tmp_path / "table"
    epochs: list[str] = []
    stops = ["epoch 2", "dlcm, seed 1: evaluate"]

    def counting(items: Any, *, what: str, **_: Any) -> Any:
        if stops and what == stops[0]:
            raise KeyboardInterrupt
        epochs.append(what)
        yield from items

    monkeypatch.setattr(training_loop, "progress", counting)
    monkeypatch.setattr(evaluation, "progress", counting)
    # The first run stops in the second epoch of the cell, the second run in the evaluation of the cell.
    for resume in (False, True):
        with pytest.raises(KeyboardInterrupt):
            ablate(samples, settings, out, resume=resume)
        stops.pop(0)
    ablate(samples, settings, out, resume=True)
    assert [what for what in epochs if what.startswith("epoch")] == ["epoch 1", "epoch 2"]


@pytest.mark.usefixtures("eager")
def test_a_failure_in_the_first_epoch_leaves_no_folder(samples: Samples, tmp_path: Path) -> None:
    configs = {"dlcm": TrainConfig(model="dlcm", **{**TINY, "learning_rate": 1e38})}
    with pytest.raises(TrainingError, match="became"):
        ablate(samples, AblationConfig(configs, (1,)), tmp_path / "table")
    assert list(tmp_path.iterdir()) == []


def test_an_ablation_with_several_workers_is_refused(
    samples: Samples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}')
    with pytest.raises(ConfigurationError, match="an ablation runs in one process"):
        ablate(samples, config("dlcm"), tmp_path / "table")


@pytest.mark.slow
def test_boosted_trees_are_evaluated_and_deterministic(samples: Samples) -> None:
    pytest.importorskip("lightgbm")
    from edgerec.model.ablation.trees import tree_cell

    one, same, other = (tree_cell(samples, seed=seed, split=TEST) for seed in (1, 1, 2))
    assert one.figures == same.figures
    assert one.sums.above.tolist() == same.sums.above.tolist()
    assert one.figures["logloss"] is None
    # In these logs, items with a higher score get more clicks, and the trees read this score.
    assert one.figures["gauc"] > 0.6
    assert other.figures["gauc"] > 0.6


def test_a_model_may_have_its_own_settings(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text("units = 8\nepochs = 3\n[models.dlcm]\nepochs = 5\n")
    found = load_ablation(file, models=["crban"], seeds=2)
    assert found.seeds == (1, 2)
    # DLCM is always added, because the others are compared to it.
    assert {name: (one.units, one.epochs) for name, one in found.configs.items()} == {"dlcm": (8, 5), "crban": (8, 3)}
    assert list(load_ablation(None).configs) == list(MODELS)
    # The option --epochs replaces the epochs of all models.
    assert {one.epochs for one in load_ablation(file, models=["crban"], epochs=1).configs.values()} == {1}


@pytest.mark.parametrize(
    ("text", "models", "seeds", "said"),
    [
        ("[models.dclm]\nepochs = 1", None, 3, "there is no model 'dclm'"),
        ("[models.dlcm]\nepoch = 1", None, 3, "dlcm: epoch"),
        ("models = 3", None, 3, "should hold a table"),
        ("model = 'crban'", None, 3, "sets `model` and `seed` itself"),
        ("", ["nope"], 3, "there is no model 'nope'"),
        ("", None, 0, "--seeds should be at least 1"),
    ],
)
def test_faulty_settings_are_an_error(
    tmp_path: Path, text: str, models: list[str] | None, seeds: int, said: str
) -> None:
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=said):
        load_ablation(tmp_path / "a.toml", models=models, seeds=seeds)
