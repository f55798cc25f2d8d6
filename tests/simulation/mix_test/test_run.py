"""A test of policies from simulated users to the folder of results."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from edgerec.core.errors import ConfigurationError
from edgerec.core.written import layout_of
from edgerec.mixing.config import MixConfig
from edgerec.mixing.rules import MixRules
from edgerec.simulation.closed_loop.bucket import Bucket
from edgerec.simulation.closed_loop.loop_world import LoopWorld
from edgerec.simulation.closed_loop.simulate_buckets import read_table
from edgerec.simulation.mix_test import pilots
from edgerec.simulation.mix_test.policies import Aims, check_policies, checked_goals
from edgerec.simulation.mix_test.run import run_mix_test
from edgerec.simulation.mixed.config import MixedConfig
from tests import quicker
from tests.small_world import CONFIG, SEED

WORLD = LoopWorld(replace(CONFIG, mix=MixedConfig()), SEED)
RULES = MixRules.model_validate(
    {
        "page": 12,
        "advertiser_column": "advertiser",
        "kinds": {
            "product": {},
            "video": {"worth": 0.4},
            "live": {"worth": 0.8},
            "ad": {"worth": 3.0, "share": (0, 0.2), "gap": 3, "first": 2},
        },
    }
)
POLICIES = ("fixed", "price", "hindsight")
AIMS = Aims(RULES, {"ad": 0.2}, {"product": 0.0, "ad": 0.1})


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, small_world_path: Path) -> Path:
    """Return the small bundle with rules."""
    from edgerec.export.bundle import export_bundle

    path = tmp_path_factory.mktemp("rules") / "bundle"
    with quicker.run_eagerly(), pytest.MonkeyPatch.context() as patch:
        quicker.shorten_parity_check(patch)
        samples = small_world_path / "samples"
        export_bundle(small_world_path / "run", path, samples_path=samples, requests=5, rules=RULES)
    return path


def run(bundle: Path, out: Path, **more: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {"users": 20, "pilot_users": 20, "policies": POLICIES, "processes": 1}
    return run_mix_test(WORLD, bundle, out, **{**settings, **more})


@pytest.mark.slow
def test_an_interrupted_test_goes_on_and_its_folder_has_all_results(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, played = pilots.simulate_buckets, []

    def interrupted(plan: Any, *arguments: Any, **more: Any) -> Any:
        played.append((plan.buckets[0].name, plan.buckets[0].document()["mix"], plan.first_user))
        if len(played) == 3:
            raise KeyboardInterrupt
        return plain(plan, *arguments, **more)

    monkeypatch.setattr(pilots, "simulate_buckets", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(bundle, tmp_path / "test")
    found = run(bundle, tmp_path / "test", resume=True)
    out, layout = tmp_path / "test", layout_of(tmp_path / "test")
    exposures = read_table(out, "exposures")

    # No pilot run was played twice, apart from the one that was interrupted.
    assert len(played) == len({json.dumps(each, sort_keys=True) for each in played}) + 1
    assert layout is not None
    assert layout.foreign(out) is None
    assert json.loads((out / "mix_test.json").read_text())["rates"] == found["rates"]
    assert (out / "mix_test.html").read_text().startswith("<!DOCTYPE html>")
    assert set(exposures["bucket"]) == set(POLICIES)
    assert exposures["predicted"].null_count() < 0.2 * len(exposures)
    assert exposures["kind"].is_in(RULES.names).all()
    for policy in POLICIES:
        cards = exposures.filter(bucket=policy)
        share = float((cards["kind"] == "ad").mean())  # type: ignore[arg-type]
        assert found["policies"][policy]["shares"]["ad"]["share"] == pytest.approx(share)
        # With 20 users the shares of pilot and test differ a little.
        assert abs(share - 0.2) < 0.05
    # Constant prices do not move, and those that learn do.
    prices = exposures.with_columns(pl.col("prices").list.get(found["kinds"].index("ad")).alias("ad"))
    assert prices.filter(bucket="hindsight")["ad"].n_unique() == 1
    assert prices.filter(bucket="price")["ad"].n_unique() > 10
    assert [bool(found["card_prices"][policy]) for policy in POLICIES] == [False, True, True]
    assert [bool(found["day_prices"][policy]) for policy in POLICIES] == [False, True, True]
    last = [each for each in found["pilots"] if each["policy"] == "hindsight"][-1]
    assert last["users"] == 20


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"users": 19}, "users should be at least 20"),
        ({"pilot_users": 5}, "pilot users should be at least 20"),
        ({"policies": ("price",)}, "at least two"),
        ({"policies": ("price", "greed")}, "did you mean greedy"),
        ({}, "export it with --rules"),
    ],
)
def test_wrong_settings_are_one_clear_error(
    tmp_path: Path, small_world_path: Path, settings: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ConfigurationError, match=expected):
        run(small_world_path / "bundle", tmp_path / "test", **settings)
    assert not (tmp_path / "test").exists()


def test_a_plain_world_is_refused(tmp_path: Path, small_world_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="simulate --mixed"):
        run_mix_test(LoopWorld(CONFIG, SEED), small_world_path / "bundle", tmp_path / "test", users=20)


def test_goals_are_checked_against_the_rules() -> None:
    unbounded = MixRules.model_validate({"kinds": {"product": {}, "ad": {}}})

    assert checked_goals(RULES, {}) == {"ad": 0.2}
    assert checked_goals(unbounded, {"ad": 0.3}) == {"ad": 0.3}
    assert check_policies(["page", "greedy"]) == ("page", "greedy")
    for rules, goals, expected in (
        (RULES, {"banner": 0.1}, "'banner'"),
        (RULES, {"ad": 0.3}, "from 0 to 0.2"),
        (unbounded, {}, "--share KIND=SHARE"),
    ):
        with pytest.raises(ConfigurationError, match=expected):
            checked_goals(rules, goals)


def test_each_policy_is_set_by_what_it_has() -> None:
    greedy = AIMS.bucket("greedy", Path("bundle"), {"ad": 0.15})
    price, hindsight = (AIMS.bucket(name, Path("bundle"), {"ad": 0.3}) for name in ("price", "hindsight"))

    assert AIMS.start("greedy") == {"ad": 0.2}
    assert AIMS.start("price") == {"ad": 0.1}
    assert greedy.mix == MixConfig(policy="greedy", targets={"ad": 0.15})
    assert price.mix == MixConfig(prices={"product": 0.0, "ad": 0.3})
    assert hindsight.mix == MixConfig(prices={"product": 0.0, "ad": 0.3}, rate=0.0)


def test_users_have_targets_of_their_own_around_that_of_the_policy() -> None:
    bucket = AIMS.bucket("page", Path("bundle"), {"ad": 0.15})
    targets = [bucket.client(logs=False, user_id=user).mix.targets["ad"] for user in range(500)]

    assert min(targets) > 0.15 - 0.5 / 12
    assert max(targets) < 0.15 + 0.5 / 12
    assert len(set(targets)) == 500
    assert sum(targets) / 500 == pytest.approx(0.15, abs=0.005)
    assert targets[3] == bucket.client(logs=False, user_id=3).mix.targets["ad"]
    assert bucket.client(logs=False).mix.targets == {"ad": 0.15}


def test_a_bucket_without_mixing_states_nothing_of_it() -> None:
    assert "mix" not in Bucket("cloud").document()
