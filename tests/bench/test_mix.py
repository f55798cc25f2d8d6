from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from edgerec.bench import measure
from edgerec.bench.document import read_bench_document
from edgerec.bench.mix import run
from edgerec.bench.mix.highs import highs
from edgerec.bench.mix.instances import DEFAULT_RULES, Scores, make_instances
from edgerec.bench.mix.quality import qualities
from edgerec.bench.mix.run import MixPlan, run_mix_bench
from edgerec.core.errors import ConfigurationError, InputError
from edgerec.mixing.rules import MixRules
from edgerec.mixing.slate import Plan
from edgerec.mixing.solve import solve
from tests.mixing.esan_problems import random_head, random_vectors

pytest.importorskip("scipy")


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "MOST_SECONDS", 0.05)
    monkeypatch.setattr(run, "POOL", 10)
    monkeypatch.setattr(run, "CALLS", 2)


def test_the_document_has_rows_and_qualities(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "run_in_child", lambda work, plan, died: work(plan))
    document = run_mix_bench(MixPlan(places=6, candidates=12, instances=4, rounds=2))
    found = json.loads(json.dumps(document.to_json()))
    assert [row["name"] for row in found["results"]] == ["edgerec", "dp", "beam", "greedy", "edgerec_new", "highs"]
    assert {row["stage"] for row in found["results"]} == {"mix"}
    assert all(0 < row["p50_us"] <= row["p99_us"] for row in found["results"])
    assert found["quality"]["instances"] == 4
    assert found["quality"]["violations"] == 0
    assert found["quality"]["gap_max"] == pytest.approx(0, abs=1e-9)
    assert [target["what"] for target in found["targets"]] == ["plan of a mixed feed, p99"]
    (tmp_path / "mix.json").write_text(json.dumps(found))
    assert read_bench_document(tmp_path / "mix.json").quality == document.quality


def test_a_model_with_surroundings_is_compared_with_the_best_known_plans() -> None:
    instances = make_instances(_surroundings(), 4, places=8, candidates=20)
    rules = DEFAULT_RULES
    solvers = {
        "auto": lambda one: solve(one.problem, rules, one.values()),
        "greedy": lambda one: solve(one.problem, rules, one.values(), solver="greedy"),
    }
    found = qualities(instances, rules, solvers, reference="best known")
    assert found["auto"].compared == found["greedy"].compared == 4
    assert 0 <= found["auto"].gap_mean <= found["greedy"].gap_mean  # type: ignore[operator]


def _surroundings() -> Scores:
    rng = np.random.default_rng(0)
    return Scores(DEFAULT_RULES, None, random_head(rng), random_vectors(rng, 30))


def test_a_solver_that_breaks_a_rule_or_is_worse_is_found() -> None:
    instances = make_instances(Scores(DEFAULT_RULES), 6, places=8, candidates=20)
    ads_first = {
        "ads first": lambda one: Plan(
            np.argsort(-one.problem.cards.kinds, kind="stable"), one.problem.count, 0.0, solver="wrong"
        )
    }
    found = qualities(instances, DEFAULT_RULES, ads_first, reference="highs")["ads first"]
    assert found.violations > 6
    assert found.gap_max == pytest.approx(1.0)


def test_seen_cards_of_the_feeds_follow_the_rules_and_highs_finds_their_plans() -> None:
    instances = make_instances(Scores(DEFAULT_RULES), 4, places=8, candidates=20)
    assert [len(one.problem.seen) > 0 for one in instances] == [False, True, False, True]
    for one in instances:
        best = highs(one.problem, DEFAULT_RULES, one.values().table(8))
        assert best is not None
        assert solve(one.problem, DEFAULT_RULES, one.values()).value == pytest.approx(best.value)


def test_wrong_numbers_are_errors() -> None:
    with pytest.raises(InputError, match="--places should be from 1 to 50; received 51"):
        MixPlan(places=51)
    with pytest.raises(InputError, match="--instances should be from 1 to 100000; received 0"):
        MixPlan(instances=0)


def test_the_same_seed_draws_the_same_feeds() -> None:
    pairs = (make_instances(Scores(DEFAULT_RULES), 4, places=4, candidates=8, seed=seed) for seed in (3, 3, 4))
    first, second, other = ([one.problem.cards.kinds.tolist() for one in instances] for instances in pairs)
    assert first == second != other


def test_rules_with_a_kind_that_the_model_does_not_know_are_refused(
    bundle_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "run_in_child", lambda work, plan, died: work(plan))
    rules = MixRules.model_validate({"kind_column": "level", "kinds": {"banner": {}}})
    with pytest.raises(ConfigurationError, match=r"kinds\.banner should be a value of the feature level"):
        run_mix_bench(MixPlan(bundle=bundle_path, rules=rules, places=6, candidates=12, instances=4, rounds=2))
