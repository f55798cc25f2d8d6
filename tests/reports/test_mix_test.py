"""The page, the Markdown and the terminal tables of `edgerec abtest --mix`, on tables that are made here."""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest

from edgerec.reports.mix_test.blocks import blocks_of
from edgerec.reports.mix_test.lead import facts, headline
from edgerec.reports.mix_test.markdown import markdown
from tests.reports.parsed_page import Page, body_of
from tests.simulation.mix_test.tables import BOUNDS, START_MS, Planted, planted_tables

SECTIONS = [
    "value", "policies", "shares", "lengths", "places", "prices", "behaviour", "predicted", "comparisons", "pilots",
    "settings", "time", "world", "words",
]  # fmt: skip
HOSTILE = "<img src=x onerror=alert(1)>|`*[x](y)\x1b[31m</script>"


@pytest.fixture(scope="module")
def source() -> dict[str, Any]:
    from edgerec.simulation.mix_test.analyse import analyse_policies

    policies = {
        "fixed": Planted(ad_rate=0.08),
        "greedy": Planted(ad_rate=0.12),
        "price": Planted(ad_rate=0.15, curse=1.2, price=0.2),
        "hindsight": Planted(ad_rate=0.151, price=0.2),
    }
    found = analyse_policies(
        *planted_tables(policies, users=60),
        policies=list(policies),
        bounds=BOUNDS,
        goals={"ad": 0.1},
        pilots=[],
        start_ms=START_MS,
    )
    for name, policy in found["policies"].items():
        spread = 0.05 if name in ("fixed", "greedy") else 0.0
        policy |= {"settings": {"page": 20, "mix": {"policy": name}, "mix_spread": spread}, "version_id": "v1"}
    run = {"policy": "greedy", "run": 1, "users": 20, "settings": {"ad": 0.1}, "shares": {"ad": 0.09}, "value": 0.1}
    return {
        "users": 60,
        "world": {"seed": 1, "config": {"items": 200}},
        **found,
        "pilots": [run],
        "sessions": 600,
        "sessions_per_second": 8.1,
        "processes": 2,
        "time": {"user": 1.0, "device": 5.0, "cloud": 1.0, "rest": 0.5},
    }


def renamed(document: Any, old: str, new: str) -> Any:
    """Return a copy in which a kind or a policy has another name."""
    if isinstance(document, dict):
        return {renamed(key, old, new): renamed(value, old, new) for key, value in document.items()}
    if isinstance(document, list):
        return [renamed(each, old, new) for each in document]
    return new if document == old else document


def test_the_page_has_all_sections_and_plots(source: dict[str, Any]) -> None:
    pytest.importorskip("plotly")
    from edgerec.reports.mix_test.page import page

    text = page(source)
    shown = Page(text)

    assert [block.id for block in blocks_of(source)] == SECTIONS
    for name in ("value-0", "value-1", "shares-days", "lengths-share", "places-3", "prices-cards-2", "predicted-ratio"):
        assert f'id="{name}"' in text
    assert page(source) == text
    assert shown is not None


def test_the_headline_compares_the_price_with_greedy_and_with_hindsight(source: dict[str, Any]) -> None:
    text = headline(source)

    assert "the policy “price” raised the value of the feed by" in text
    assert "against greedy with a cap for each page" in text
    assert "% below the constant price at this share, known in advance." in text


def test_the_page_says_what_the_figures_do_not_show(source: dict[str, Any]) -> None:
    with_rate, capless = copy.deepcopy(source), copy.deepcopy(source)
    with_rate["rates"] = {"ad": 0.25, "video": None}
    for policy in capless["policies"].values():
        policy["settings"]["mix_spread"] = 0.0

    assert "No rate is known for “ad”, because all pilot runs showed nearly the same share." in markdown(source)
    assert "The rate for one more card is +0.250 for “ad”. The intervals take it as exact." in markdown(with_rate)
    assert "No rate is known for “video”" in markdown(with_rate)
    assert "Caps are whole cards. So under “fixed”, “greedy”, each user's target" in markdown(source)
    assert "Caps are whole cards" not in markdown(capless)
    assert "They are no proven bound" in markdown(source)


def test_shares_off_the_goal_are_named(source: dict[str, Any]) -> None:
    off = copy.deepcopy(source)
    for name, policy in off["policies"].items():
        policy["shares"]["ad"]["share"] = 0.13 if name == "price" else 0.1001
    near = copy.deepcopy(off)
    near["policies"]["price"]["shares"]["ad"]["share"] = 0.1012

    assert "This did not hold for “price” (13.00 %), so read its value with care." in " ".join(facts(off))
    assert "Users then saw from 10.01 to 10.12 %." in " ".join(facts(near))


@pytest.mark.parametrize("old", ["ad", "greedy", "video"])
def test_hostile_names_do_not_become_markup(source: dict[str, Any], old: str) -> None:
    pytest.importorskip("plotly")
    from edgerec.reports.mix_test.page import page

    document = renamed(source, old, HOSTILE)

    assert "<img" not in body_of(page(document))
    assert "\x1b" not in markdown(document)
    assert "<img" not in markdown(document).replace("\\<img", "")


def test_a_test_without_prices_predictions_and_pilots_has_a_report(source: dict[str, Any]) -> None:
    document = copy.deepcopy(source)
    document["pilots"] = []
    for name in document["policies"]:
        document["card_prices"][name] = document["day_prices"][name] = []
        for entry in document["predicted"][name].values():
            entry |= dict.fromkeys(entry) | {"cards": 0}
    found = [block.id for block in blocks_of(document)]

    assert found == [each for each in SECTIONS if each not in ("prices", "predicted", "pilots")]
    assert markdown(document).startswith("## Test of mixing policies")


def test_the_terminal_shows_value_shares_and_predictions(source: dict[str, Any]) -> None:
    from rich.console import Console

    from edgerec.cli.tables.mix_test import mix_test_table

    console = Console(width=120, file=io.StringIO())
    console.print(mix_test_table(source))
    text = console.file.getvalue()  # type: ignore[attr-defined]

    for expected in ("at equal share", "against greedy", "wanted", "exits a card", "second calibration"):
        assert expected in text
