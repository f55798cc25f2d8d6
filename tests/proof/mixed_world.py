"""What the mixed world of `edgerec simulate --mixed` holds, by its truth: neighbours, exits, and policies for ads.

No model is trained. `--users` and `--policy-users` are the sizes; `--logs` describes existing logs. The figures of
docs/simulator.md are those of the defaults.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from edgerec.simulation.config import SimulationConfig
from edgerec.simulation.mixed.config import MixedConfig
from edgerec.simulation.population import simulate
from tests.proof.mixed_feed import Outcome, play
from tests.proof.mixed_plans import Policy

TARGET = 0.1
"""The largest share of ads: two cards of a page of twenty."""
EQUAL = "page, price, equal share"
LEAST_GAIN = 0.04
"""By how much a price should beat greedy with a cap, if both know the truth and show equally many ads."""


def exposures(logs: Path) -> pl.DataFrame:
    """Return the exposures of simulated logs in order, with `card_kind`, `previous`, `clicked` and the truth."""
    items = pl.read_parquet(logs / "items.parquet").select("item_id", "card_kind")
    truth = pl.read_parquet(sorted((logs / "truth" / "exposures").glob("*.parquet"))).with_columns(
        number=pl.int_range(pl.len()).over("user_id")
    )
    pages = pl.read_parquet(sorted((logs / "requests").glob("*.parquet"))).filter(trigger="page")
    shown = pages.select("user_id", "page_id", "item_id", "clicked").explode("item_id", "clicked")
    shown = shown.drop_nulls("clicked").with_columns(number=pl.int_range(pl.len()).over("user_id"))
    found = shown.join(truth, on=["user_id", "number", "item_id"], maintain_order="left")
    assert len(found) == len(truth)
    found = found.join(items, on="item_id", how="left", maintain_order="left")
    return found.with_columns(previous=pl.col("card_kind").shift(1).over("page_id").fill_null("none"))


def auc(labels: NDArray[np.float64], scores: NDArray[np.float64]) -> float:
    """Return the area under the ROC curve."""
    ranks = np.argsort(np.argsort(scores, kind="stable"), kind="stable") + 1
    positive = labels.sum()
    return float((ranks[labels == 1].sum() - positive * (positive + 1) / 2) / positive / (len(labels) - positive))


def masked(table: pl.DataFrame) -> dict[str, dict[str, float]]:
    """Return AUC and log loss of the true click probabilities, with some effects taken out of their logits.

    Without effects, the logits are shifted so that their mean is right. So the log loss is not that of a shifted mean.
    """
    labels = table["clicked"].to_numpy().astype(np.float64)
    probability = np.clip(table["probability"].to_numpy().astype(np.float64), 1e-9, 1 - 1e-9)
    logits = np.log(probability / (1 - probability))
    found = {}
    for name, removed in {
        "truth": (),
        "without_neighbours": ("neighbours",),
        "without_attention": ("attention",),
        "without_both": ("neighbours", "attention"),
    }.items():
        rest = logits - sum((table[column].to_numpy().astype(np.float64) for column in removed), np.zeros(len(logits)))
        shift = 0.0
        for _ in range(30):
            predicted = 1 / (1 + np.exp(-rest - shift))
            shift += (labels - predicted).sum() / (predicted * (1 - predicted)).sum()
        predicted = np.clip(predicted, 1e-9, 1 - 1e-9)
        loss = -(labels * np.log(predicted) + (1 - labels) * np.log(1 - predicted)).mean()
        kinds = {
            kind: auc(labels[rows], rest[rows])
            for kind in table["card_kind"].unique().sort()
            for rows in [(table["card_kind"] == kind).to_numpy()]
        }
        found[name] = {"auc": auc(labels, rest), "log_loss": float(loss)} | kinds
    return found


def figures(logs: Path) -> dict[str, Any]:
    """Return what the truth of logs says: click rates, effects of neighbours, and exits."""
    table = exposures(logs).with_columns(pl.col("clicked").cast(pl.Float64))
    kinds = table.group_by("card_kind").agg(pl.len(), *(pl.col(name).mean() for name in ("clicked", "leaving")))
    pairs = table.group_by("card_kind", "previous").agg(pl.col("clicked").mean()).sort("card_kind", "previous")
    recent = table.with_columns(
        ads=(pl.col("card_kind") == "ad").cast(pl.Int32).rolling_sum(8, min_samples=1).over("page_id")
    )
    exits = recent.group_by("ads").agg(pl.len(), pl.col("leaving").mean()).sort("ads")
    return {
        "exposures": len(table),
        "kinds": kinds.sort("card_kind").to_dicts(),
        "pairs": pairs.to_dicts(),
        "leaving_by_ads_of_8": exits.to_dicts(),
        "masked": masked(table),
    }


def uplift(outcome: Outcome, base: Outcome) -> dict[str, float]:
    """Return the relative difference in value to another policy of the same users, and its standard error."""
    difference = outcome.value - base.value
    scale = base.value.mean() * np.sqrt(len(difference))
    return {"uplift": float(difference.mean() / base.value.mean()), "error": float(difference.std() / scale)}


def price_of(world: SimulationConfig, share: float, *, steps: int = 5, **plan: int) -> float:
    """Return the price at which ads have a share. It is found by bisection."""
    low, high = 0.0, 0.4
    for _ in range(steps):
        price = (low + high) / 2
        low, high = (price, high) if play(world, Policy(price=price, **plan)).ads > share else (low, price)
    return (low + high) / 2


def policies(users: int, pilot: int) -> Iterator[dict[str, Any]]:
    """Yield value and shares of policies that know the truth. The first one is greedy with a cap of each page."""
    world, small = SimulationConfig(users=users, mix=MixedConfig()), SimulationConfig(users=pilot, mix=MixedConfig())
    greedy = {"depth": 1, "width": 1}
    # The pilot has fewer users, so the cap gives it a share of its own.
    share = play(small, Policy(target=TARGET, **greedy)).ads
    base = None
    for name, policy in {
        "greedy, cap": lambda: Policy(target=TARGET, **greedy),
        "page, cap": lambda: Policy(target=TARGET),
        "greedy, price, equal share": lambda: Policy(price=price_of(small, share, **greedy), **greedy),
        EQUAL: lambda: Policy(price=price_of(small, share)),
        "page, no cap": Policy,
        "page, no ads": lambda: Policy(target=0.0),
    }.items():
        chosen = policy()
        one = play(world, chosen)
        base = base or one
        yield {
            "policy": name,
            "price": chosen.price,
            "value": float(one.value.mean()),
            "ads": one.ads,
            "cards": float(one.cards.sum() / users),
            "left": float(one.left.sum() / one.sessions.sum()),
            **uplift(one, base),
        }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=6000)
    parser.add_argument("--policy-users", type=int, default=2000)
    parser.add_argument("--pilot-users", type=int, default=1000)
    parser.add_argument("--logs", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        logs = options.logs or Path(folder) / "logs"
        if options.logs is None:
            simulate(SimulationConfig(users=options.users, mix=MixedConfig()), logs, seed=1)
        document = figures(logs)
    sys.stdout.write(json.dumps(document, indent=1) + "\n")
    gain = 0.0
    for one in policies(options.policy_users, options.pilot_users):
        sys.stdout.write(json.dumps(one) + "\n")
        sys.stdout.flush()
        gain = one["uplift"] if one["policy"] == EQUAL else gain
    losses = {name: values["log_loss"] for name, values in document["masked"].items()}
    good = gain >= LEAST_GAIN and losses["truth"] == min(losses.values())
    sys.stdout.write(f"{'ok' if good else 'FAILED'}: a price is worth {gain:.1%} more than greedy with a cap\n")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
