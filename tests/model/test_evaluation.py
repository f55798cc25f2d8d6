from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from edgerec.cli.tables.learning import evaluation_table
from edgerec.core.errors import FormatError, InputError, IntegrityError, SpecificationError
from edgerec.data.build_samples import write_samples
from edgerec.data.samples import NOT_EXPOSED, TEST, TRAIN, Samples
from edgerec.features.behaviours import Limits
from edgerec.features.vocabulary import Vocabulary
from edgerec.model import evaluation, input_pipeline
from edgerec.model.baselines import baselines, exposed
from edgerec.model.batches import make_batch
from edgerec.model.evaluation import evaluate
from edgerec.model.metrics import gauc
from edgerec.model.run_head import check_samples
from edgerec.model.runs import Run, load_run
from edgerec.model.tally import Scored, Tally
from tests.model.scoring import score, scored
from tests.synthetic import LIMITS, build, make_logs, whole


@pytest.fixture(scope="module")
def run(run_path: Path) -> Run:
    return load_run(run_path)


@pytest.mark.usefixtures("eager")
def test_the_document_of_an_evaluation_has_all_figures(run: Run, samples: Samples) -> None:
    document = evaluate(run, samples)
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert document.keys() == {
        "version_id", "model", "split", "gauc", "gauc_ci95", "gauc_requests", "users", "auc", "ndcg@5", "ndcg@10",
        "logloss", "calibration_error", "calibration", "breakdown", "requests", "impressions", "baselines",
    }  # fmt: skip
    requests = whole(samples, TEST).requests
    assert document["requests"] == len(requests)
    assert document["impressions"] == (requests.label != NOT_EXPOSED).sum()
    found = score(lambda inputs: run.model(inputs), samples, TEST)
    assert document["gauc"] == pytest.approx(gauc(found.group, found.label, found.logit), abs=1e-6)
    low, high = document["gauc_ci95"]
    assert 0 <= low <= document["gauc"] <= high <= 1
    assert evaluate(run, samples) == document
    assert evaluation_table(document).row_count == 8 + len(document["baselines"])


def test_the_error_for_an_unknown_split_lists_the_splits(run: Run, samples: Samples) -> None:
    with pytest.raises(InputError, match="`split` should be one of train, validation, test; received tset"):
        evaluate(run, samples, split="tset")
    with pytest.raises(InputError, match="`samples` should be a Samples; received PosixPath: use open_samples"):
        evaluate(run, samples.path)  # type: ignore[arg-type]


def test_exposed_returns_only_candidates_that_were_exposed(samples: Samples) -> None:
    requests = replace(
        whole(samples, TRAIN).requests,
        offsets=np.array([0, 2, 5, 6]),
        label=np.array([1, NOT_EXPOSED, NOT_EXPOSED, 0, 1, 0], np.uint8),
    )
    seen = exposed(requests)
    assert seen.group.tolist() == [0, 1, 1, 2]
    assert seen.position.tolist() == [0, 1, 2, 0]
    assert seen.label.tolist() == [1, 0, 1, 0]
    assert seen.row.tolist() == [0, 3, 4, 5]


@pytest.mark.usefixtures("quick_gru")
def test_scores_do_not_depend_on_the_batch(run: Run, samples: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    shard = whole(samples, TEST)
    assert len(set(shard.requests.lengths.tolist())) > 3
    together = by_request(score(lambda inputs: run.model(inputs), samples, TEST))
    assert together.keys() == set(range(len(shard.requests)))
    monkeypatch.setattr(evaluation, "EVALUATION_BATCH", 20)
    again = by_request(score(lambda inputs: run.model(inputs), samples, TEST))
    for row, (label, logits) in together.items():
        assert again[row][0] == label
        np.testing.assert_allclose(again[row][1], logits, atol=2e-6)
    for row in (0, 11):
        batch = make_batch(shard, np.array([row]))
        seen = batch.weight[0] > 0
        assert batch.label[0][seen].tolist() == together[row][0]
        np.testing.assert_allclose(run.model(batch.inputs).numpy()[0][seen], together[row][1], atol=2e-6)


def tallied(*parts: Scored) -> Tally:
    tally = Tally()
    for part in parts:
        tally.add(part)
    return tally


def by_request(found: Scored) -> dict[int, tuple[list[int], np.ndarray]]:
    return {
        row: (found.label[found.group == row].tolist(), found.logit[found.group == row])
        for row in set(found.group.tolist())
    }


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_figures_do_not_depend_on_shards(
    run: Run, samples: Samples, samples_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = samples.head.limits.model_dump()
    many = write_samples(samples_path.parent / "logs", tmp_path / "many", limits=limits, target=1)
    assert len(many.head.shards) == 12
    monkeypatch.setattr(input_pipeline, "MIX", 12)
    one, other = evaluate(run, samples), evaluate(run, many)
    for name in ("gauc", "auc", "ndcg@5", "ndcg@10", "logloss"):
        assert other[name] == pytest.approx(one[name], abs=1e-6)
    assert (other["requests"], other["impressions"]) == (one["requests"], one["impressions"])
    for name in one["baselines"].keys() - {"random"}:
        assert other["baselines"][name] == pytest.approx(one["baselines"][name], abs=1e-12)


def asked(number: int, scores: list[float], clicked: list[int | None]) -> dict[str, Any]:
    return {
        "request_id": number, "user_id": 1, "time": 1000 * number, "trigger": "page", "model_version": None,
        "item_id": list(range(100, 100 + len(scores))), "clicked": clicked, "score": scores,
    }  # fmt: skip


def test_baselines_equal_values_computed_by_hand(tmp_path: Path) -> None:
    rows = [
        asked(1, [1.0, 2.0], [1, 0]),  # In training, the item with the smaller score is clicked.
        asked(2, [1.0, 2.0, 0.0], [1, 0, None]),
        asked(3, [5.0, 5.0], [0, 1]),
        asked(4, [3.0, 1.0, 2.0], [0, 1, 0]),  # The AUC is 1 with the smallest score first, and 0.5 in served order.
        asked(5, [1.0, 2.0], [0, 1]),  # The AUC is 0 with the smallest score first, and 0 in served order.
    ]
    logs = make_logs()
    table = pl.DataFrame(rows, schema_overrides={"model_version": pl.String, "clicked": pl.List(pl.Int8)})
    samples = build(tmp_path, replace(logs, requests=table), test_from=4000, validation_fraction=0.3)
    found = baselines(samples, TEST, seed=1)
    assert found.keys() == {"random", "base_order", "best_single:-score"}
    assert found["base_order"] == pytest.approx((3 * 0.5 + 2 * 0) / 5)
    assert found["best_single:-score"] == pytest.approx((3 * 1 + 2 * 0) / 5)
    assert found["random"] == baselines(samples, TEST, seed=1)["random"]


def test_figures_of_requests_without_a_click_are_an_error() -> None:
    with pytest.raises(InputError, match="GAUC has no value"):
        tallied(scored([0, 1, 2], [0, 0, 0], [0.0] * 3)).figures(seed=1)


def test_samples_that_do_not_fit_the_run_are_refused(run: Run, samples: Samples) -> None:
    def check(other: Samples) -> None:
        check_samples(run.head, run.vocabularies, other)

    check(samples)
    spec = samples.head.spec
    fewer = spec.model_copy(update={"item": spec.item[:-1]})
    rescaled = spec.item[2].model_copy(update={"mean": 9.0})
    moved = spec.model_copy(update={"item": (*spec.item[:2], rescaled)})
    other = [
        ({"spec": fewer}, "item features are shop, level, those of the run are shop, level, score"),
        ({"spec": moved}, "feature score of item is specified or fitted differently"),
        ({"limits": Limits(**{**LIMITS, "candidates": 11})}, "candidates=11"),
    ]
    for change, said in other:
        with pytest.raises(SpecificationError, match=said):
            check(replace(samples, head=samples.head.model_copy(update=change)))
    keys = samples.vocabularies["shop"].keys
    with pytest.raises(SpecificationError, match="another vocabulary of shop") as caught:
        check(replace(samples, vocabularies={"shop": Vocabulary(keys + 1)}))
    assert f"the samples that the run was trained on ({run.head.samples})" in str(caught.value)


@pytest.mark.parametrize("command", ["evaluate", "export"])
def test_other_samples_are_refused_before_tensorflow_is_imported(command: str, run_path: Path, tmp_path: Path) -> None:
    other = build(tmp_path, make_logs(users=4)).path
    arguments = [command, str(run_path), *([str(other)] if command == "evaluate" else ["--samples", str(other)])]
    arguments += ["--out", str(tmp_path / "bundle")] if command == "export" else []
    code = (
        "import sys; from edgerec.cli import cli; from edgerec.core.errors import SpecificationError\n"
        f"try: cli({arguments!r}, standalone_mode=False)\n"
        "except SpecificationError as error: print('tensorflow' in sys.modules, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"False samples {other} do not fit run "), done.stdout


def _head(**change: Any) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        head = json.loads((path / "run.json").read_text())
        (path / "run.json").write_text(json.dumps({**head, **change}))

    return write


def _weights(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda path: (path / "model.weights.h5").write_bytes(change((path / "model.weights.h5").read_bytes()))


def _one_weight(path: Path) -> None:
    run = load_run(path)
    weights = run.model.get_weights()
    weights[0].flat[3] += 1e-3
    run.model.set_weights(weights)
    run.model.save_weights(path / "model.weights.h5")


FAULTS: dict[str, tuple[Callable[[Path], object], type[FormatError], str]] = {
    "another format": (_head(format=1), FormatError, "reads format 2"),
    "no configuration": (_head(config={"units": 8, "lairs": 2}), FormatError, "config.lairs"),
    "other sizes": (_head(config={"units": 9, "layers": 2}), FormatError, "cannot be read"),
    "another version": (_head(version_id="20250101000000-0123456789ab"), IntegrityError, "does not hold the weights"),
    "missing": (lambda path: (path / "model.weights.h5").unlink(), FormatError, "is missing"),
    "empty": (_weights(lambda _: b""), FormatError, "cannot be read"),
    "truncated": (_weights(lambda content: content[: len(content) // 2]), FormatError, "cannot be read"),
    "noise": (_weights(lambda content: bytes(reversed(content))), FormatError, "cannot be read"),
    "one weight moved": (_one_weight, IntegrityError, "does not hold the weights"),
    "no vocabulary": (lambda path: (path / "vocabulary" / "shop.npy").unlink(), FormatError, "vocabulary"),
    "no folder": (shutil.rmtree, FormatError, "is not a folder"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_run_gives_an_error_of_one_line(run_path: Path, tmp_path: Path, fault: str) -> None:
    path = Path(shutil.copytree(run_path, tmp_path / "run"))
    damage, error, said = FAULTS[fault]
    damage(path)
    with pytest.raises(error, match=said) as caught:
        load_run(path)
    assert "\n" not in str(caught.value).strip()
