"""Tables of a test of policies whose answers are known, because they are planted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

KINDS = ("product", "video", "ad")
WORTH = {"product": 1.0, "video": 0.4, "ad": 3.0}
BOUNDS = {"product": (0.0, 1.0), "video": (0.1, 0.4), "ad": (0.0, 0.1)}
START_MS = 1_000_000_000_000
DAY_MS = 86_400_000


@dataclass(frozen=True)
class Planted:
    """What is planted in one policy.

    Attributes:
        ads: the share of ads.
        ad_rate: the mean true click probability of ads; that of other cards is 0.1.
        curse: predicted divided by true click probability.
        price: the price of ads at the user's first card, which falls by half at the hundredth.
        leave: the probability that a card ends a session.
    """

    ads: float = 0.1
    ad_rate: float = 0.1
    curse: float = 1.0
    price: float | None = None
    leave: float = 0.03


def planted_tables(
    policies: dict[str, Planted], *, users: int = 200, seed: int = 1
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the tables `users` and `exposures`. Users have the same random numbers in all policies."""
    rows, people = [], []
    for name, planted in policies.items():
        for user in range(1, users + 1):
            rng = np.random.default_rng((seed, user))
            taste, sessions, seen = float(rng.lognormal(0, 0.3)), int(rng.integers(1, 5)), 0
            for session in range(1, sessions + 1):
                day = int(rng.integers(0, 14))
                lengths, kinds_u, clicks_u = rng.random(120), rng.random(120), rng.random(120)
                for place in range(120):
                    seen += 1
                    kind = (
                        "ad"
                        if kinds_u[place] < planted.ads and place > 2
                        else "video"
                        if kinds_u[place] > 0.8
                        else "product"
                    )
                    rate = min(0.9, taste * (planted.ad_rate if kind == "ad" else 0.1))
                    left = lengths[place] < planted.leave
                    rows.append(
                        (
                            name,
                            user,
                            session,
                            place + 1,
                            START_MS + day * DAY_MS + place,
                            bool(clicks_u[place] < rate),
                            rate,
                            kind,
                            WORTH[kind],
                            bool(left),
                            min(0.95, rate * planted.curse),
                            None if planted.price is None else [0.0, -0.01, planted.price * (1 - min(seen, 100) / 200)],
                        )
                    )
                    if left:
                        break
            people.append((name, user, sessions))
    exposures = pl.DataFrame(
        rows,
        schema={
            "bucket": pl.String,
            "user_id": pl.Int64,
            "session": pl.Int32,
            "position": pl.Int32,
            "time": pl.Int64,
            "clicked": pl.Boolean,
            "probability": pl.Float32,
            "kind": pl.String,
            "worth": pl.Float32,
            "left": pl.Boolean,
            "predicted": pl.Float32,
            "prices": pl.List(pl.Float64),
        },
        orient="row",
    )
    return pl.DataFrame(people, schema=["bucket", "user_id", "sessions"], orient="row"), exposures
