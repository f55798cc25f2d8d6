from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgerec.core.errors import SpecificationError
from edgerec.data.samples import NOT_EXPOSED, Samples, open_samples
from edgerec.model.personalization.evaluate import evaluate_personalization
from edgerec.model.personalization.reading import read_activations
from edgerec.model.request_logits import request_logits
from edgerec.model.runs import Run, load_run
from edgerec.personalization.head import PersonalHead
from tests.command_line import document, edgerec_here, error_line


@pytest.fixture(scope="module")
def run(run_path: Path) -> Run:
    return load_run(run_path)


@pytest.mark.usefixtures("eager")
def test_activations_have_each_labelled_exposure_with_the_logits_of_the_model(run: Run, samples: Samples) -> None:
    found = read_activations(run, samples, ["test"])
    (shard,) = samples.shards("test")
    requests = shard.requests
    assert len(found) == (requests.label != NOT_EXPOSED).sum()
    assert found.label.sum() == (requests.label == 1).sum()
    expected = {}
    for number, logits in request_logits(run.model, samples, "test", requests.request_id):
        row = int(np.flatnonzero(requests.request_id == number)[0])
        where = slice(int(requests.offsets[row]), int(requests.offsets[row + 1]))
        expected[row] = logits[requests.label[where] != NOT_EXPOSED]
    assert np.sort(found.logit) == pytest.approx(np.sort(np.concatenate(list(expected.values()))), abs=1e-6)
    # The output layer on the hidden part gives the logits, so the columns are in the right order.
    kernel, bias = run.model.ranker.output_layer.get_weights()
    assert found.values[:, : found.hidden] @ kernel[:, 0] + bias == pytest.approx(found.logit, abs=1e-5)
    assert found.values.shape[1] == found.hidden + run.model.settings.candidate_width


@pytest.mark.usefixtures("eager")
def test_an_exposure_of_several_requests_of_a_page_trains_once(run: Run, samples: Samples) -> None:
    found = read_activations(run, samples, ["validation", "test"])
    assert (np.diff(found.user) >= 0).all()
    labels = [requests for split in ("validation", "test") for requests in samples.requests(split)]
    exposed = {
        (user, page, item)
        for one in labels
        for user, page, item, label in zip(
            np.repeat(one.user, one.lengths), np.repeat(one.page, one.lengths), one.row, one.label, strict=True
        )
        if label != NOT_EXPOSED
    }
    assert found.latest.sum() == len(exposed)


@pytest.mark.usefixtures("eager")
def test_memory_is_bounded_by_the_number_of_users(run: Run, samples: Samples) -> None:
    few = read_activations(run, samples, ["test"], users=3, seed=1)
    assert len(np.unique(few.user)) == 3
    whole = read_activations(run, samples, ["test"])
    kept = np.isin(whole.user, few.user)
    assert np.array_equal(whole.label[kept], few.label)


def test_samples_of_another_run_are_refused(run: Run, samples: Samples) -> None:
    other = replace(samples, head=samples.head.model_copy(update={"limits": replace_limits(samples)}))
    with pytest.raises(SpecificationError, match="do not fit run"):
        read_activations(run, other, ["test"])


def replace_limits(samples: Samples) -> object:
    """Return other limits than those of the samples."""
    return samples.head.limits.model_copy(update={"exposures": samples.head.limits.exposures + 1})


@pytest.mark.usefixtures("eager")
def test_the_table_is_written_with_json_and_markdown(
    small_world_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgerec.model.personalization.methods.LEAST_USERS", 5)
    run, samples = load_run(small_world_path / "run"), open_samples(small_world_path / "samples")
    options = {"methods": ["user_bias"], "seeds": 1, "folds": 10, "users": 100, "splits": ["validation", "test"]}
    found = evaluate_personalization(run, samples, tmp_path / "out", candidate=False, **options)  # type: ignore[arg-type]
    written = json.loads((tmp_path / "out" / "personal_evaluation.json").read_text())
    assert written == json.loads(json.dumps(found))
    assert [row["method"] for row in written["rows"]] == ["shared", "refit", "user_bias"]
    assert written["schema"] == 1
    assert "| user_bias |" in (tmp_path / "out" / "personal_evaluation.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["meta-train", "nowhere", "--from", "nowhere", "--out", "head.npz"], "nowhere is not a folder"),
        (["meta-train", "a", "--from", "a", "--out", "b", "--method", "mamml"], "did you mean maml?"),
        (["personalize", "evaluate", "a", "b", "--out", "c", "--methods", "priors"], "did you mean prior?"),
    ],
)
def test_wrong_input_is_one_line(arguments: list[str], reason: str, tmp_path: Path) -> None:
    assert reason in error_line(edgerec_here(*arguments, cwd=tmp_path))


@pytest.mark.usefixtures("eager")
def test_meta_train_writes_a_head_of_the_run(
    small_world_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgerec.model.personalization.methods.LEAST_USERS", 5)
    run, out = small_world_path / "run", tmp_path / "head.npz"
    options = ["--from", run, "--out", out, "--split", "both", "--method", "finetune", "--features", "hidden"]
    found = document(edgerec_here("meta-train", small_world_path / "samples", *options, "--json"))
    head = PersonalHead.from_bytes(out.read_bytes())
    assert head.training.version_id == found["version_id"] == load_run(run).head.version_id
    assert (head.training.method, head.rank) == ("finetune", found["rank"])
    assert "exists already" in error_line(edgerec_here("meta-train", small_world_path / "samples", *options))
