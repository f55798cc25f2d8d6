"""`edgerec mix fit`: what a device starts with, learnt from logs with a known answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgerec.data.samples import open_samples
from edgerec.mixing.rules import MixRules, parse_rules
from edgerec.model.mixing.fit import Fitted, fit_prior
from edgerec.model.runs import load_run
from tests.command_line import document, edgerec_here, error_line

RULES = """
page = 4
[kinds.product]
[kinds.video]
[kinds.ad]
worth = 2.0
share = [0, 0.1]
"""


@pytest.fixture(scope="module")
def rules() -> MixRules:
    kinds = {"product": {}, "video": {}, "ad": {"worth": 2.0, "share": [0, 0.1]}}
    return parse_rules({"page": 4, "kinds": kinds}, where="test")


@pytest.fixture(scope="module")
def fitted(mixed_path: Path, rules: MixRules) -> Fitted:
    run, samples = load_run(mixed_path / "learnt"), open_samples(mixed_path / "samples")
    return fit_prior(run, samples, rules, requests=20)


def test_the_scarce_kind_gets_a_price_at_which_its_share_holds(fitted: Fitted) -> None:
    # In these logs, cards after an ad are clicked fifteen times as often, so plans without prices are full of ads.
    prices, shares = fitted.prior.prices, fitted.document["shares"]
    assert prices["product"] == prices["video"] == 0
    assert prices["ad"] > 0.1
    assert shares["without"]["ad"] > 0.3
    assert abs(shares["with"]["ad"] - 0.1) < 0.06  # 20 short lists cannot have any share


def test_users_who_see_all_cards_examine_all_places(fitted: Fitted) -> None:
    assert fitted.prior.examination[:8] == [1.0] * 8
    assert set(fitted.prior.departures.values()) == {0.0}
    assert fitted.prior.later == 0.0


def test_calibration_does_not_make_the_error_larger(fitted: Fitted) -> None:
    for error in fitted.document["calibration_error"].values():
        assert error["after"] <= error["before"] + 0.02


def test_too_few_exposures_are_one_clear_line(mixed_path: Path, tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text(RULES)
    run, samples = str(mixed_path / "run"), str(mixed_path / "few")
    done = edgerec_here("mix", "fit", run, samples, "--rules", tmp_path / "rules.toml", "--out", tmp_path / "p")
    assert "should have at least 100 labelled exposures" in error_line(done)
    assert not (tmp_path / "p").exists()


def test_the_command_writes_a_prior_that_can_be_read_again(mixed_path: Path, tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text(RULES)
    run, samples, out = str(mixed_path / "learnt"), str(mixed_path / "samples"), tmp_path / "prior.json"
    arguments = ("mix", "fit", run, samples, "--rules", tmp_path / "rules.toml", "--out", out)
    found = document(edgerec_here(*arguments, "--requests", "20", "--json"))
    assert found["prices"] == json.loads(out.read_text())["prices"]
    assert "exists" in error_line(edgerec_here(*arguments))


def test_wrong_rules_leave_no_new_folders(mixed_path: Path, tmp_path: Path) -> None:
    run, samples, rules = mixed_path / "learnt", mixed_path / "samples", tmp_path / "rules.toml"
    faults = {"page = 0": "page should be at least 1", "[kinds.banner]": "the kind 'banner' is not among"}
    for wrong, words in faults.items():
        rules.write_text(wrong)
        done = edgerec_here("mix", "fit", run, samples, "--rules", rules, "--out", tmp_path / "no" / "x" / "p.json")
        assert words in error_line(done)
        assert not (tmp_path / "no").exists()
