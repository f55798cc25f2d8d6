"""The logs and the truth of `edgerec simulate --mixed`."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from edgerec.core.errors import ConfigurationError
from edgerec.data.logs import Logs, load_logs
from edgerec.features.spec import table1
from edgerec.mixing.rules import load_rules
from edgerec.simulation.closed_loop.read_world import read_world
from edgerec.simulation.config import CloudConfig, SimulationConfig, load_simulation_config
from edgerec.simulation.mixed.config import AD, KINDS, CardConfig, MixedConfig
from edgerec.simulation.population import cards_of, simulate
from edgerec.simulation.recorder import KIND_PROPENSITIES
from tests.command_line import edgerec_here

WORLD = SimulationConfig(
    users=40,
    items=200,
    days=3,
    categories=6,
    brands_per_category=2,
    cloud=CloudConfig(page=20, recall=60),
    mix=MixedConfig(),
)
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mixed") / "logs"
    simulate(WORLD, folder, seed=3)
    return folder


@pytest.fixture(scope="module")
def logs(path: Path) -> Logs:
    return load_logs(path)


def candidates(logs: Logs) -> pl.DataFrame:
    """Return the candidates of each page, with the kind of their card."""
    pages = logs.requests.filter(trigger="page").select("request_id", "item_id", "score", KIND_PROPENSITIES)
    return pages.explode(pl.exclude("request_id")).join(logs.items, on="item_id", how="left", maintain_order="left")


def test_items_have_kinds_and_ads_have_advertisers(logs: Logs) -> None:
    assert set(logs.items["card_kind"]) == set(KINDS)
    assert (logs.items["advertiser"] > 0).equals(logs.items["card_kind"] == "ad")
    (feature,) = (one for one in logs.spec.item if one.source == "card_kind")
    assert feature.kind == "one_hot"
    assert feature.listed == KINDS
    assert logs.spec.item[:-1] == table1().item


def test_a_page_has_the_quota_of_each_kind_in_the_cloud_s_order(logs: Logs) -> None:
    cards = candidates(logs)
    kinds = cards.group_by("request_id", "card_kind").len()
    most = {name: kinds.filter(card_kind=name)["len"].max() for name in KINDS}
    assert most == {"product": 10, "video": 4, "live": 2, "ad": 4}
    for _, source in cards.group_by("request_id", "card_kind", maintain_order=True):
        assert all(one >= other for one, other in pairwise(source["score"].to_list()))


def test_propensities_are_those_of_the_kinds_that_have_cards_left(logs: Logs) -> None:
    shares = dict(zip(KINDS, WORLD.mix.shares("recall"), strict=True)) if WORLD.mix else {}
    for _, page in candidates(logs).group_by("request_id", maintain_order=True):
        kinds = page["card_kind"].to_list()
        for place, (kind, propensity) in enumerate(zip(kinds, page[KIND_PROPENSITIES].to_list(), strict=True)):
            assert propensity == pytest.approx(shares[kind] / sum(shares[one] for one in set(kinds[place:])), rel=1e-5)


def test_the_truth_says_what_the_cards_before_and_the_place_change(path: Path, logs: Logs) -> None:
    requests = pl.read_parquet(path / "truth" / "requests")
    exposures = pl.read_parquet(path / "truth" / "exposures")
    assert requests.columns == ["request_id", "probability", "neighbours", "attention"]
    assert exposures.columns == ["user_id", "time", "item_id", "probability", "neighbours", "attention", "leaving"]
    assert requests["neighbours"].list.len().equals(requests["probability"].list.len())
    assert exposures["leaving"].is_between(0, 1).all()
    kinds = exposures.join(logs.items, on="item_id", how="left", maintain_order="left")["card_kind"]
    after_ad = kinds.shift(1) == "ad"
    both = (
        exposures.with_columns(ad=kinds == "ad", after=after_ad)
        .group_by("ad", "after")
        .agg(pl.col("neighbours").mean())
    )
    mean = {(ad, after): value for ad, after, value in both.drop_nulls().iter_rows()}
    assert mean[True, True] < mean[True, False] - 0.5
    assert mean[False, True] < mean[False, False]
    # The first request of a page and the first exposure of it see the same card at the same place.
    first = (
        logs.requests.filter(trigger="page")
        .join(requests, on="request_id")
        .select("user_id", pl.col("item_id").list.first(), pl.col("attention").list.first())
    )
    assert (first["attention"] == 0).all()


def test_plain_worlds_have_no_trace_of_mixing(path: Path, tmp_path: Path) -> None:
    plain = replace(WORLD, mix=None)
    assert "mix" not in plain.document()
    simulate(plain, tmp_path / "plain", seed=3)
    plain_logs, mixed = load_logs(tmp_path / "plain"), load_logs(path)
    assert plain_logs.spec == table1()
    assert plain_logs.items.equals(mixed.items.drop("card_kind", "advertiser"))
    assert KIND_PROPENSITIES not in plain_logs.requests.columns
    assert read_world(tmp_path / "plain").config == plain
    assert read_world(path).config == WORLD


def test_recall_of_a_kind_draws_no_other_kind() -> None:
    cards = cards_of(WORLD, 3)
    assert cards is not None
    rng = np.random.default_rng(1)
    for kind, catalogue in enumerate(cards.of_kind):
        assert catalogue is not None
        category = rng.choice(np.flatnonzero(catalogue.popularity), 500)
        assert (cards.kind[catalogue.draw(category, rng.random(500))] == kind).all()


def test_the_command_and_the_table_mix_make_mixed_worlds(tmp_path: Path) -> None:
    assert load_simulation_config(None, {}, mixed=True).mix == MixedConfig()
    file = tmp_path / "world.toml"
    file.write_text(
        "users = 3\nitems = 120\n[cloud]\npage = 10\nrecall = 30\n[mix]\nad_leave = 2.0\n[mix.ad]\nlevel = 0.3\n"
    )
    config = load_simulation_config(file, {})
    assert config.mix == MixedConfig(ad_leave=2.0, ad=replace(MixedConfig().ad, level=0.3))
    done = edgerec_here("simulate", "--mixed", "--config", file, "--processes", "1", "--out", tmp_path / "logs")
    assert done.returncode == 0, done.stderr
    assert read_world(tmp_path / "logs").config == config


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[mix]\nad_anoyance = 1", r"mix.ad_anoyance is not a known parameter \(did you mean mix.ad_annoyance\?\)"),
        ("[mix.ad]\nlevels = 1", r"mix.ad.levels is not a known parameter \(did you mean mix.ad.level\?\)"),
        ("[mix]\nad = 3", "mix.ad should be a table of parameters; received 3"),
        ("[mix]\nad_memory = 2", "mix.ad_memory should be a number from 0 to 1; received 2"),
        ("[mix.ad]\nworth = -1", "worth should be a number from 0 to 1000; received -1"),
        (
            "[mix]\n" + "".join(f"{kind} = {{ recall = 0 }}\n" for kind in KINDS),
            "the shares `recall` of all kinds sum to 0: raise one",
        ),
    ],
)
def test_a_bad_table_mix_is_refused_with_its_fault(text: str, fault: str, tmp_path: Path) -> None:
    file = tmp_path / "world.toml"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=fault):
        load_simulation_config(file, {})


def test_a_kind_without_cards_is_left_out(tmp_path: Path) -> None:
    none = replace(MixedConfig(), ad=CardConfig(items=0.0, recall=0.5))
    simulate(replace(WORLD, users=3, mix=none), tmp_path / "logs", seed=1)
    logs = load_logs(tmp_path / "logs")
    assert "ad" not in set(logs.items["card_kind"])
    assert len(logs.requests)


def test_the_example_s_rules_fit_this_world() -> None:
    rules = load_rules(ROOT / "examples" / "mixed_feed.toml")
    assert rules.names == KINDS
    assert [rules.kinds[name].worth for name in KINDS] == [card.worth for card in MixedConfig().cards]
    # What a device holds of each kind is enough for the least that a page needs, and for a page without ads.
    held = dict(zip(KINDS, [50, 18, 12, 20], strict=True))
    for name, kind in rules.kinds.items():
        assert kind.share[0] * 50 <= held[name]
    assert sum(held.values()) - held[KINDS[AD]] >= 50
