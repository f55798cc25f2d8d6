"""The blocks of the report of a test of policies, in the order in which they are shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgerec.core.text import printable
from edgerec.reports.ab_test.buckets import mean, rate
from edgerec.reports.ab_test.run_blocks import settings, time, world
from edgerec.reports.block import Block, Table
from edgerec.reports.cells import NONE, number
from edgerec.reports.mix_test.words import MEANINGS, METRICS, change_of, described, main_kind
from edgerec.reports.uplift import NOT_MEASURED, change, measured_p, read_uplift


def blocks_of(document: Mapping[str, Any]) -> list[Block]:
    """Return the blocks of the document of `edgerec abtest --mix`."""
    made = (
        _value(document),
        _policies(document),
        _shares(document),
        _lengths(document),
        _places(document),
        _prices(document),
        _behaviour(document),
        _predicted(document),
        _comparisons(document),
        _pilots(document),
        settings({**document, "buckets": document["policies"]}),
        time(document),
        world(document),
        Block(
            "words", "Words on this page", table=Table(("word", "meaning"), list(MEANINGS.items()), texts=2), prose=True
        ),
    )
    return [block for block in made if block is not None]


def range_label(entry: Mapping[str, Any]) -> str:
    """Return the name of a range of numbers of cards."""
    return f"{entry['from']} and more" if entry["to"] is None else f"{entry['from']} to {entry['to']}"


def baselines_of(document: Mapping[str, Any]) -> list[str]:
    """Return the policies with which others are compared, the control first."""
    return list(dict.fromkeys(entry["against"] for entry in document["comparisons"]))


def percent(value: float | None) -> str:
    """Return a share with two decimals, because tenths of a point matter here."""
    return rate(value)


def _value(document: Mapping[str, Any]) -> Block:
    primary, baselines = document["primary"], baselines_of(document)
    rows = []
    for name, policy in document["policies"].items():
        changes = [change_of(document, name, against, primary) for against in baselines]
        cells = [NONE if found is None else read_uplift(found).brief() for found in changes]
        rows.append((name, mean(policy[primary]), mean(policy["value"]), *cells))
    columns = ("policy", "value at equal share", "value", *(f"against {printable(name)}" for name in baselines))
    note = (
        "Value for each user, in units of worth. At equal share: what is left of the difference in shares is paid for "
        "at the rate at which pilot runs exchanged value for share. Changes are of the value at equal share, with 95 % "
        "intervals."
    )
    return Block("value", "Value of each policy", f"{note} {_rates(document)}", Table(columns, rows))


def _rates(document: Mapping[str, Any]) -> str:
    """Return what is known of the rate of exchange, as sentences."""
    known = {kind: rate for kind, rate in document["rates"].items() if rate is not None}
    parts = []
    if known:
        rates = ", ".join(f"{rate:+.3f} for “{printable(kind)}”" for kind, rate in known.items())
        parts.append(f"The rate for one more card is {rates}. The intervals take it as exact.")
    if missing := [f"“{printable(kind)}”" for kind in document["rates"] if kind not in known]:
        parts.append(
            f"No rate is known for {', '.join(missing)}, because all pilot runs showed nearly the same share. So the "
            "value at equal share is not corrected for it."
        )
    return " ".join(parts)


def _policies(document: Mapping[str, Any]) -> Block:
    rows = [(name, described(name)) for name in document["policies"]]
    note = ""
    if capped := [f"“{printable(name)}”" for name, policy in document["policies"].items() if _spread(policy)]:
        note = (
            f"Caps are whole cards. So under {', '.join(capped)}, each user's target share is up to half a card a page "
            "above or below the common one, which can cost these policies some value."
        )
    return Block("policies", "The policies", note, Table(("policy", "what it does"), rows, texts=2), prose=True)


def _spread(policy: Mapping[str, Any]) -> float:
    return float(policy["settings"].get("mix_spread") or 0.0)


def _shares(document: Mapping[str, Any]) -> Block:
    rows = []
    for name, policy in document["policies"].items():
        cells = []
        for kind in document["kinds"]:
            found = policy["shares"][kind]
            cells.append(percent(found["share"]))
        rows.append((name, *cells))
    first = next(iter(document["policies"].values()))["shares"]
    wanted = []
    for kind in document["kinds"]:
        low, high = first[kind]["bounds"]
        goal = first[kind]["goal"]
        wanted.append(f"{100 * low:g} to {100 * high:g} %" if goal is None else f"{100 * goal:g} %")
    rows.append(("wanted", *wanted))
    note = (
        "Share of each kind in the cards that users saw. A kind with one wanted share was set to it in all policies; "
        "the others may be anywhere within the bounds of the rules."
    )
    return Block("shares", "Shares of kinds", note, Table(("policy", *document["kinds"]), rows))


def _lengths(document: Mapping[str, Any]) -> Block:
    kind = main_kind(document)
    rows = [
        (
            name,
            range_label(entry),
            number(entry["sessions"]),
            percent(entry["shares"][kind]),
            NOT_MEASURED if entry["errors"][kind] is None else f"{100 * entry['errors'][kind]:.1f} points",
        )
        for name, entries in document["lengths"].items()
        for entry in entries
    ]
    columns = ("policy", "cards in the session", "sessions", f"share of {printable(kind)}", "error of a session")
    note = (
        f"Share of the kind “{printable(kind)}” in short and in long sessions. No single session can have exactly the "
        "wanted share; the error is the mean distance of a session's share to it."
    )
    return Block("lengths", "Shares by length of session", note, Table(columns, rows, texts=2), folded=True)


def _places(document: Mapping[str, Any]) -> Block:
    kind = main_kind(document)
    rows = []
    for first, last in ((1, 5), (6, 10), (11, 20), (21, 30), (31, 40), (41, 60)):
        cells = []
        for entries in document["places"].values():
            inside = [entry for entry in entries if first <= entry["place"] <= last]
            cards = sum(entry["cards"] for entry in inside)
            cells.append(percent(sum(entry["of"][kind] for entry in inside) / cards) if cards else NONE)
        rows.append((f"{first} to {last}", *cells))
    note = (
        f"How many of the cards at each place of the list are of the kind “{printable(kind)}”. Place 1 is the top of "
        "the feed at the start of a session."
    )
    table = Table(("places", *document["places"]), rows)
    return Block("places", f"Where cards of the kind “{printable(kind)}” stand", note, table, folded=True)


def _prices(document: Mapping[str, Any]) -> Block | None:
    rows = []
    for name, entries in document["card_prices"].items():
        for entry in entries:
            cells = (f"{entry['prices'][kind]:+.3f}" for kind in document["kinds"])
            rows.append((name, range_label(entry), *cells))
    if not rows:
        return None
    note = (
        "The mean price while users see their first cards, and later ones. A price is what showing one card costs, in "
        "units of worth. If prices start well, they hardly move."
    )
    table = Table(("policy", "cards of a user", *document["kinds"]), rows, texts=2)
    return Block("prices", "Prices", note, table, folded=True)


def _behaviour(document: Mapping[str, Any]) -> Block:
    rows = [
        (
            name,
            mean(policy["clicks"]),
            rate(policy["click_rate"]),
            mean(policy["realised"]),
            mean(policy["cards"]),
            mean(policy["sessions"]),
            mean(policy["cards_per_session"]),
            rate(policy["exits"]),
            rate(policy["exits_per_card"]),
        )
        for name, policy in document["policies"].items()
    ]
    columns = (
        "policy", "clicks", "click rate", "value of clicks", "cards", "sessions", "cards a session", "exits a session",
        "exits a card",
    )  # fmt: skip
    note = "Clicks, value of clicks, cards and sessions are means for each user."
    return Block("behaviour", "What users did", note, Table(columns, rows))


def _predicted(document: Mapping[str, Any]) -> Block | None:
    rows = []
    for name, entries in document["predicted"].items():
        for kind, entry in entries.items():
            if entry["ratio"] is not None:
                interval = (
                    ""
                    if entry["ci95"] is None
                    else " ({:+.1f} to {:+.1f})".format(*(100 * (end - 1) for end in entry["ci95"]))
                )
                rows.append(
                    (
                        name,
                        kind,
                        f"{entry['cards']:,}",
                        number(entry["predicted"]),
                        number(entry["true"]),
                        f"{100 * (entry['ratio'] - 1):+.1f} %{interval}",
                        NONE if entry["refitted"] is None else f"{100 * (entry['refitted'] - 1):+.1f} %",
                    )
                )
    if not rows:
        return None
    note = (
        "A policy shows the cards that the model thinks good, so it shows those that the model overestimates: the "
        "optimist's curse. Here, the predicted value of shown cards is compared with their true value. A second "
        "calibration, fitted to the clicks of half of the users, is applied to the other half."
    )
    columns = ("policy", "kind", "cards", "predicted", "true", "predicted against true", "after a second calibration")
    return Block("predicted", "Predicted and true value", note, Table(columns, rows, texts=2), folded=True)


def brief_predicted(document: Mapping[str, Any]) -> Table:
    """Return a narrow table of predicted against true value: all kinds, and the kind that the test is about."""
    rows = []
    for name, entries in document["predicted"].items():
        for kind in ("all", main_kind(document)):
            entry = entries[kind]
            ratios = (None if entry[key] is None else entry[key] - 1 for key in ("ratio", "refitted"))
            rows.append((name, kind, *(change(ratio) for ratio in ratios)))
    return Table(("policy", "kind", "predicted against true", "second calibration"), rows, texts=2)


def _comparisons(document: Mapping[str, Any]) -> Block:
    rows = []
    for entry in document["comparisons"]:
        for key, name in METRICS.items():
            found = read_uplift(entry["change"].get(key))
            cells = (change(found.mean), found.interval(), measured_p(found.p))
            rows.append((entry["policy"], entry["against"], name, *cells))
    table = Table(("policy", "against", "metric", "change", "95 %", "p"), rows, texts=3)
    note = "The p-values are not adjusted for the number of metrics and comparisons: value at equal share decides."
    return Block("comparisons", "All comparisons", note, table, folded=True)


def _pilots(document: Mapping[str, Any]) -> Block | None:
    rows = [
        (
            run["policy"],
            str(run["run"]),
            f"{run['users']:,}",
            "; ".join(f"{kind} {value:.4g}" for kind, value in run["settings"].items()),
            "; ".join(f"{kind} {100 * value:.2f} %" for kind, value in run["shares"].items()),
            number(run["value"]),
        )
        for run in document.get("pilots") or []
    ]
    if not rows:
        return None
    note = (
        "How the policies were set to equal shares. Policies with caps have a target share, “price” has a price to "
        "start with, and “hindsight” a constant price. Pilot users are not in the test, apart from "
        "the last runs of “hindsight”, which have the users of the test."
    )
    columns = ("policy", "run", "users", "settings", "shares", "value of a card")
    return Block("pilots", "Pilot runs", note, Table(columns, rows, texts=1), folded=True)
