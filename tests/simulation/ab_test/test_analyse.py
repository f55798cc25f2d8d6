from __future__ import annotations

import importlib
import json
import sys
from typing import Any

import polars as pl
import pytest

from edgerec.core.errors import ConfigurationError, EdgeRecError, InputError, MissingExtraError
from edgerec.simulation.ab_test.analyse import analyse
from edgerec.simulation.ab_test.paired import paired_uplifts
from edgerec.simulation.ab_test.power import power_analysis
from edgerec.simulation.ab_test.tables import analysed_users
from edgerec.simulation.ab_test.winsorising import winsorised
from tests.simulation.ab_test.tables import Planted, make_tables

METRICS = ["pv", "ctr", "click", "gmv"]
KEYS = ["primary", "winsorised", "buckets", "uplift", "comparisons", "positions", "activity", "power"]
Tables = tuple[pl.DataFrame, pl.DataFrame]


@pytest.fixture(scope="module")
def paired() -> Tables:
    planted = {"crban": Planted(pv=0.02, ctr=0.08), "dlcm": Planted(pv=0.03, ctr=0.03)}
    return make_tables(1500, buckets=("cloud", "crban", "dlcm"), planted=planted)


@pytest.fixture(scope="module")
def split() -> Tables:
    return make_tables(1500, design="split", planted={"crban": Planted(ctr=0.2)})


def test_the_paired_design_finds_the_planted_uplifts(paired: Tables) -> None:
    document = analyse(*paired, buckets=["cloud", "crban", "dlcm"], design="paired")
    assert list(document) == KEYS
    truth = {"cloud": Planted(), "crban": Planted(pv=0.02, ctr=0.08), "dlcm": Planted(pv=0.03, ctr=0.03)}
    pairs = [(each["bucket"], each["against"]) for each in document["comparisons"]]
    assert pairs == [("crban", "cloud"), ("dlcm", "cloud"), ("dlcm", "crban")]
    for comparison in document["comparisons"]:
        bucket, against = (truth[comparison[key]].uplift() for key in ("bucket", "against"))
        assert list(comparison["uplift"]) == METRICS
        for metric, uplift in comparison["uplift"].items():
            planted = (1 + bucket[metric]) / (1 + against[metric]) - 1
            width = uplift["ci95"][1] - uplift["ci95"][0]
            # 99.9 % of intervals 1.7 times as wide contain the planted uplift.
            assert uplift["mean"] == pytest.approx(planted, abs=0.85 * width), metric
    main = {name: {key: each[key] for key in each if key != "paper"} for name, each in document["uplift"].items()}
    assert main == document["comparisons"][0]["uplift"]
    assert [each["paper"] for each in document["uplift"].values()] == [0.0157, 0.0718, 0.0887, 0.1092]
    click, gmv = document["uplift"]["click"], document["uplift"]["gmv"]
    assert click["p"] == click["p_adjusted"] < 1e-6
    assert gmv["p"] <= gmv["p_adjusted"]
    assert all(each["with_cuped"] is None for each in document["power"].values())


def test_the_split_design_finds_the_planted_uplifts_and_checks_itself(split: Tables) -> None:
    document = analyse(*split, buckets=["cloud", "crban"], design="split", splits=2)
    assert list(document) == [*KEYS, "sample_ratio", "aa"]
    low, high = document["uplift"]["click"]["ci95"]
    assert 0 < low < 0.2 < high
    assert document["sample_ratio"]["p"] > 0.001
    counts = {name: bucket["users"] for name, bucket in document["buckets"].items()}
    assert document["sample_ratio"]["counts"] == counts
    assert document["aa"]["splits"] == 2
    assert list(document["aa"]["metrics"]) == list(document["aa"]["without_cuped"]) == METRICS
    assert document["comparisons"] == [
        {
            "bucket": "crban",
            "against": "cloud",
            "uplift": {
                name: {key: each[key] for key in ("mean", "ci95", "p", "p_adjusted")}
                for name, each in document["uplift"].items()
            },
        }
    ]


def test_power_agrees_with_the_formula_of_two_normal_means(split: Tables) -> None:
    users = analysed_users(split[0], ["cloud"], design="split")
    found, control = power_analysis(users, cuped=True), users.get_column("clicks")
    spread = (1.959964 + 0.841621) * 2**0.5 * control.std() / control.mean()  # type: ignore[operator]
    power = found["click"]
    assert power["smallest_uplift"] == pytest.approx(spread / 2000**0.5, rel=0.002)
    assert power["users_for_paper"] == pytest.approx((spread / 0.0887) ** 2, rel=0.003)
    for name in ("pv", "click", "ctr"):
        without, with_cuped = found[name], found[name]["with_cuped"]
        assert with_cuped["smallest_uplift"] < 0.9 * without["smallest_uplift"]
        assert with_cuped["users_for_paper"] < 0.8 * without["users_for_paper"]


def test_buckets_and_positions_are_sums_of_the_tables(paired: Tables) -> None:
    users, exposures = paired
    document = analyse(users, exposures, buckets=["cloud", "crban"], design="paired")
    for name, bucket in document["buckets"].items():
        own = users.filter(pl.col("bucket") == name, pl.col("sessions") > 0)
        shown = exposures.filter(pl.col("bucket") == name)
        assert bucket["users"] == own.height < 1500
        assert bucket["pv"] == pytest.approx(shown.height / own.height)
        assert bucket["click"] == pytest.approx(shown["clicked"].sum() / own.height)
        assert bucket["ctr"] == pytest.approx(shown["clicked"].sum() / shown.height)
        assert bucket["sessions"] == pytest.approx(own["sessions"].mean())
        assert sum(each["exposures"] for each in document["positions"][name]) == shown.height
        assert sum(each["clicks"] for each in document["positions"][name]) == shown["clicked"].sum()
    assert sum(each["users"] for each in document["activity"]) == document["buckets"]["cloud"]["users"]
    assert [each["sessions"] for each in document["activity"]] == ["1", "2", "3 and more"]


def test_users_who_planned_no_session_but_came_back_are_a_group(split: Tables) -> None:
    users, exposures = split
    # All their planned sessions were in the pre-period, and they came back in the test period.
    returned = users.with_columns(
        planned_sessions=pl.when(pl.col("user_id") % 10 == 0).then(0).otherwise("planned_sessions")
    )
    document = analyse(returned, exposures, buckets=["cloud", "crban"], design="split", splits=1)
    assert [each["sessions"] for each in document["activity"]] == ["0", "1", "2", "3 and more"]
    own = returned.filter(pl.col("planned_sessions") == 0, pl.col("sessions") > 0)
    assert document["activity"][0]["users"] == own.height > 100
    assert document["activity"][0]["uplift"]["click"]["mean"] is not None
    assert sum(each["users"] for each in document["activity"]) == users.filter(pl.col("sessions") > 0).height
    alone = pl.col("user_id") == own["user_id"][0]
    few = users.with_columns(planned_sessions=pl.when(alone).then(0).otherwise("planned_sessions"))
    group = analyse(few, exposures, buckets=["cloud", "crban"], design="split", splits=1)["activity"][0]
    assert (group["sessions"], group["users"], group["uplift"]["click"]["mean"]) == ("0", 1, None)


def test_one_cap_for_all_buckets_limits_the_money_of_a_user(paired: Tables) -> None:
    users, exposures = paired
    document = analyse(users, exposures, buckets=["cloud", "crban"], design="paired", winsorise=0.9)
    own = users.filter(pl.col("bucket") != "dlcm")
    cap = own.filter(pl.col("gmv") > 0)["gmv"].quantile(0.9, interpolation="linear")
    assert document["winsorised"] == {"quantile": 0.9, "cap": pytest.approx(cap)}
    cloud = own.filter(pl.col("bucket") == "cloud", pl.col("sessions") > 0)
    assert document["buckets"]["cloud"]["gmv"] == pytest.approx(cloud["gmv"].clip(upper_bound=cap).mean())
    assert winsorised(own, 1)[0].equals(own)


def test_a_single_large_order_does_not_decide_the_uplift(paired: Tables) -> None:
    users = analysed_users(paired[0], ["cloud", "crban"], design="paired")
    first = (pl.col("bucket") == "crban") & (pl.col("user_id") == users.get_column("user_id")[0])
    rich = users.with_columns(gmv=pl.when(first).then(1e7).otherwise(pl.col("gmv")))
    found = []
    for quantile in (0.99, 1.0):
        capped, _ = winsorised(rich, quantile)
        groups = (capped.filter(pl.col("bucket") == name) for name in ("cloud", "crban"))
        found.append(paired_uplifts(*groups)["gmv"].mean or 0)
    assert abs(found[0]) < 0.3
    assert found[1] > 100


@pytest.mark.parametrize("design", ["paired", "split"])
def test_documents_of_sparse_tables_have_no_nan(design: str) -> None:
    users, exposures = make_tables(40, design=design)
    no_money = users.with_columns(purchases=pl.lit(0, pl.Int32), gmv=pl.lit(0.0), pre_gmv=pl.lit(0.0))
    silent = no_money.with_columns(pv=pl.lit(0, pl.Int32), clicks=pl.lit(0, pl.Int32))
    silent = silent if design == "paired" else silent.with_columns(sessions=pl.lit(0, pl.Int32))
    for table, shown in ((no_money, exposures), (silent, exposures[:0]), (users[:0], exposures[:0])):
        document = analyse(table, shown, buckets=["cloud", "crban"], design=design, splits=1)
        json.dumps(document, allow_nan=False)
        assert document["winsorised"]["cap"] is None
        gmv = document["uplift"]["gmv"]
        assert gmv == {"mean": None, "ci95": None, "p": None, "p_adjusted": None, "paper": 0.1092}
        if shown.is_empty():
            assert document["buckets"]["crban"]["ctr"] is None
            assert document["positions"] == {"cloud": [], "crban": []}


def test_a_bucket_without_exposures_has_no_ctr() -> None:
    users, exposures = make_tables(40)
    none = pl.col("pv", "clicks", "gmv") * (pl.col("bucket") == "cloud").cast(pl.Int32)
    document = analyse(
        users.with_columns(none),
        exposures.filter(pl.col("bucket") == "cloud"),
        buckets=["cloud", "crban"],
        design="paired",
    )
    json.dumps(document, allow_nan=False)
    assert document["uplift"]["ctr"]["mean"] is None
    assert document["uplift"]["click"]["mean"] == -1
    assert document["positions"]["crban"][0]["rate"] is None


def wrong(
    tables: Tables, design: str
) -> list[tuple[dict[str, Any], pl.DataFrame, pl.DataFrame, type[EdgeRecError], str]]:
    users, exposures = tables
    other = "paired" if design == "split" else "split"
    negative = users.with_columns(pl.when(pl.int_range(pl.len()) == 3).then(-1).otherwise(pl.col("gmv")).alias("gmv"))
    return [
        (
            {"primary": "clicks"},
            users,
            exposures,
            ConfigurationError,
            "primary should be one of pv, ctr, click, gmv; received clicks (did you mean click?)",
        ),
        (
            {"design": "twin"},
            users,
            exposures,
            ConfigurationError,
            "design should be one of paired, split; received twin",
        ),
        (
            {"winsorise": 99},
            users,
            exposures,
            ConfigurationError,
            "winsorise should be a quantile above 0 and at most 1",
        ),
        (
            {"buckets": ["cloud"]},
            users,
            exposures,
            ConfigurationError,
            "buckets should be at least two different names",
        ),
        ({"buckets": ["cloud", "cloud"]}, users, exposures, ConfigurationError, "received cloud, cloud"),
        ({"design": other}, users, exposures, InputError, f"in the {other} design each user should be in"),
        ({}, users.drop("pre_pv", "gmv"), exposures, InputError, "missing: pre_pv, gmv"),
        ({}, users, exposures.drop("clicked"), InputError, "exposures should have the columns"),
        ({}, negative, exposures, InputError, "gmv should be finite and at least 0"),
        (
            {},
            users.with_columns(pv=pl.lit(None, pl.Int32)),
            exposures,
            InputError,
            "pv should be finite and at least 0",
        ),
        ({}, pl.concat([users, users[:1]]), exposures, InputError, "one row for each user and bucket"),
        ({}, users, exposures.with_columns(position=pl.lit(0)), InputError, "position should be at least 1"),
        ({}, users, exposures[1:], InputError, "users and exposures of bucket cloud should agree"),
        ({}, users.with_columns(pv=pl.col("sessions")), exposures, InputError, "bucket cloud should agree; received"),
        ({}, users, exposures.with_columns(clicked=~pl.col("clicked")), InputError, "use two tables of the same test"),
    ]


@pytest.mark.parametrize("design", ["paired", "split"])
def test_wrong_tables_and_settings_are_refused(design: str) -> None:
    for settings, users, exposures, error, words in wrong(make_tables(30, design=design), design):
        arguments = {"buckets": ["cloud", "crban"], "design": design, **settings}
        with pytest.raises(error) as caught:
            analyse(users, exposures, **arguments)
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("missing", ["tea_tasting", "scipy"])
def test_the_error_for_a_missing_extra_gives_the_install_command(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(sys.modules, "edgerec.simulation.ab_test.library")
    monkeypatch.delitem(sys.modules, "edgerec.simulation.ab_test.aa")
    with pytest.raises(MissingExtraError) as caught:
        importlib.import_module("edgerec.simulation.ab_test.aa")
    assert str(caught.value) == f"{missing} is not installed: run pip install 'edgerec[experiments]'"
