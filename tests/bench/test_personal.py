"""What `edgerec bench personal` measures: a bundle with a head of patches, in the process of the test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgerec.bench.document import BenchDocument
from edgerec.bench.stages import personal
from edgerec.bench.stages.personal import personal_bench
from edgerec.bench.stages.stage import load_checked_bundle
from edgerec.cli.tables.bench import bench_table
from edgerec.core.errors import InputError
from edgerec.device_runtime.personal.ranking import PersonalRanking, PersonalScores
from edgerec.device_runtime.ranker import Scored
from tests.bench.in_this_process import bench_here
from tests.cli.test_mixing_tables import printed


@pytest.fixture(autouse=True)
def few_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(personal, "EVENTS", 60)
    monkeypatch.setattr(personal, "SWEEP", (20, 90))


def test_a_patch_is_measured_beside_the_shared_model(personal_path: Path) -> None:
    document = bench_here("personal", personal_path, rounds=1, sweep=True)
    plain = [(row["stage"], row["name"]) for row in document["results"] if not row["parameters"]]
    assert plain == [
        ("rerank_personal", "edgerec"),
        ("rerank_personal", "shared"),
        ("rerank_personal", "patch"),
        ("response_personal", "edgerec"),
        ("response_personal", "shared"),
        ("train_patch", "edgerec"),
        ("train_patch", "training"),
        ("train_patch", "gradient_50"),
    ]
    ratios = [(one["stage"], one["peer"]) for one in document["ratios"]]
    assert ratios == [("rerank_personal", "shared"), ("response_personal", "shared")]
    swept = [row for row in document["results"] if row["parameters"]]
    assert [row["parameters"] for row in swept] == [{"events": count} for count in (20, 90) for _ in range(3)]
    cost, candidates = document["personal"], document["sizes"]["candidates"]
    head = (personal_path / "device" / "personal_head.npz").stat().st_size
    assert cost == {
        "method": "maml",
        "optimiser": "gradient",
        "steps": 50,
        "rank": 4,
        "events": 60,
        "candidates": candidates,
        "patch_bytes": 4 * 5,
        "head_bytes": head,
        "request_bytes": candidates * 4 * 2,
        "training_bytes": cost["training_bytes"],
    }
    # A training reads the events as float64.
    assert 60 * 5 * 8 < cost["training_bytes"] < 10**6
    text = "\n".join(printed(bench_table(BenchDocument.model_validate(document)), width=200))
    for part in ("  edgerec / it", "p50 by events", "patch of one user", "training bytes"):
        assert part in text
    engine = {**document["results"][0], "stage": "rerank", "name": "mnn"}
    both = BenchDocument.model_validate({**document, "results": [engine, *document["results"]]})
    assert "mnn or edgerec / it" in "\n".join(printed(bench_table(both), width=200))


def test_the_client_with_a_patch_uses_it_and_the_other_one_has_none(
    personal_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[PersonalScores] = []
    rank = PersonalRanking.rank

    def kept(ranking: PersonalRanking, scored: Scored) -> PersonalScores:
        found.append(rank(ranking, scored))
        return found[-1]

    loaded = load_checked_bundle(personal_path)
    with personal_bench(loaded) as bench:
        assert len(bench.events) == 60
        assert 0 < bench.events.labels.mean() < 0.5
        assert bench.events.request_count > 1
        monkeypatch.setattr(PersonalRanking, "rank", kept)
        rerank, response, _ = bench.stages
        own, shared = (run(response.implementations[name], found) for name in ("edgerec", "shared"))
        assert (own.personal, own.phi is not None) == (True, True)
        assert (shared.personal, shared.phi) == (None, None)
        own, alone = (run(rerank.implementations[name], found) for name in ("edgerec", "patch"))
        assert own.personal is alone.personal is True
        np.testing.assert_array_equal(own.scored.logits, alone.scored.logits)
        logits = rerank.implementations["shared"]().logits  # type: ignore[operator]
        assert np.abs(own.scored.logits - logits).max() > 0


def run(call: Any, found: list[PersonalScores]) -> PersonalScores:
    """Call an implementation once and return the only scores that it made."""
    found.clear()
    getattr(call, "run", call)()
    [scores] = found
    return scores


def test_a_training_does_all_that_a_device_does(personal_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with personal_bench(load_checked_bundle(personal_path)) as bench:
        _, _, training = bench.stages
        learnt, theta, steps = (training.implementations[name]() for name in training.implementations)  # type: ignore[operator]
        assert (learnt.outcome, learnt.events) == ("trained", 60)
        # The rates are zero here, so no training can explode.
        np.testing.assert_array_equal(theta, bench.head.start)
        np.testing.assert_array_equal(learnt.theta, theta)
        # The head makes 50 gradient steps, too.
        np.testing.assert_array_equal(steps, theta)
        trained: list[int] = []
        real = personal.train
        monkeypatch.setattr(
            "edgerec.personalization.learning.train",
            lambda head, events, **more: trained.append(len(events)) or real(head, events, **more),
        )
        training.implementations["edgerec"]()  # type: ignore[operator]
        assert len(trained) == 2
        assert trained[0] < trained[1] == 60


def test_a_bundle_without_a_head_has_no_patches_to_measure(bundle_path: Path) -> None:
    with pytest.raises(InputError, match="has no patches to measure: export it with `--personal HEAD`"):
        bench_here("personal", bundle_path, rounds=1)
