"""Realistic tables of an A/B test whose uplifts are known, because they are planted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

BUY, PRICE = 0.08, 30.0
"""Probability that a click leads to a purchase, and the median amount."""


@dataclass(frozen=True)
class Planted:
    """Relative changes of exposures, of the click probability, and of the probability of a purchase after a click."""

    pv: float = 0.0
    ctr: float = 0.0
    buy: float = 0.0

    def uplift(self) -> dict[str, float]:
        """The expected uplift of each metric, without winsorising."""
        click = (1 + self.pv) * (1 + self.ctr)
        return {"pv": self.pv, "ctr": self.ctr, "click": click - 1, "gmv": click * (1 + self.buy) - 1}


NOTHING = Planted()


@dataclass(frozen=True)
class _People:
    planned: NDArray[np.int64]
    length: NDArray[np.float64]
    rate: NDArray[np.float64]


def make_tables(
    users: int = 400,
    *,
    design: str = "paired",
    buckets: Sequence[str] = ("cloud", "crban"),
    planted: Mapping[str, Planted] | None = None,
    seed: int = 1,
    absent: float = 0.02,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the tables `users` and `exposures`.

    Users differ in activity, in session length and in how often they click. The click probability falls with the
    position in the session. In the paired design all buckets have the same users with the same random numbers. In the
    split design a hash of the user's ID chooses the bucket, and a pre-period precedes the test.

    Args:
        users: number of users.
        design: `paired` or `split`.
        buckets: names, the control first.
        planted: what differs from the control, for each bucket.
        seed: seed of users and sessions.
        absent: share of users without a session.
    """
    planted = planted or {}
    rng = np.random.default_rng(seed)
    people = _People(
        planned=1 + rng.negative_binomial(1, 0.45, users).clip(0, 12),
        length=rng.lognormal(3.0, 0.5, users),
        rate=rng.beta(2.5, 40, users),
    )
    ids = rng.permutation(10 * users)[:users].astype(np.int64)
    sessions = np.where(rng.random(users) < absent, 0, people.planned)
    base = _period(people, sessions, rng)
    before = _period(people, people.planned, rng) if design == "split" else base.clear()
    pre = _sums(_served(before, NOTHING), users)
    own = (ids * 2654435761 % 2**32) * len(buckets) >> 32 if design == "split" else None
    tables, rows = [], []
    for place, bucket in enumerate(buckets):
        served = _served(base, planted.get(bucket, NOTHING))
        present = np.arange(users) if own is None else np.flatnonzero(own == place)
        served = served.filter(pl.col("user").is_in(present))
        rows.append(_exposures(served, bucket, ids))
        tables.append(_users(_sums(served, users), pre, bucket, ids, people, sessions)[present])
    return pl.concat(tables), pl.concat(rows)


def _period(people: _People, sessions: NDArray[np.int64], rng: np.random.Generator) -> pl.DataFrame:
    """All that could be exposed: each exposure of the control, and a second one that a larger PV would add."""
    user = np.repeat(np.arange(len(sessions)), sessions)
    length = 1 + rng.poisson(people.length[user])
    session = np.concatenate([np.arange(count) for count in sessions] or [np.zeros(0, int)]) + 1
    count = length.sum()
    place = np.concatenate([np.arange(each) / each for each in length] or [np.zeros(0)])
    user, session = np.repeat(user, length), np.repeat(session, length)
    # A probability of the relative place, and not of the position, keeps the planted CTR at any PV.
    probability = people.rate[user] * (0.8 + 0.6 * np.exp(-4 * place))
    rows = {"user": user, "session": session, "probability": probability, "extra": rng.random(count)}
    copies = [
        pl.DataFrame({**rows, "copy": np.full(count, copy), "place": place}).with_columns(
            pl.Series("u", rng.random(count)),
            pl.Series("buys", rng.random(count)),
            pl.Series("price", PRICE * rng.lognormal(0, 1, count)),
        )
        for copy in (0, 1)
    ]
    return pl.concat(copies).sort("user", "session", "place", "copy")


def _served(period: pl.DataFrame, planted: Planted) -> pl.DataFrame:
    kept = (pl.col("copy") == 0) & (pl.col("extra") >= -planted.pv)
    probability = (pl.col("probability") * (1 + planted.ctr)).clip(0, 1)
    bought = pl.col("clicked") & (pl.col("buys") < BUY * (1 + planted.buy))
    return (
        period.filter(kept | ((pl.col("copy") == 1) & (pl.col("extra") < planted.pv)))
        .with_columns(probability.alias("probability"), (pl.col("u") < probability).alias("clicked"))
        .with_columns(bought.alias("bought"))
    )


def _sums(served: pl.DataFrame, users: int) -> pl.DataFrame:
    sums = served.group_by("user").agg(
        pl.len().alias("pv"),
        pl.col("session").n_unique().alias("sessions"),
        pl.col("clicked").sum().alias("clicks"),
        pl.col("bought").sum().alias("purchases"),
        (pl.col("price") * pl.col("bought")).sum().alias("gmv"),
    )
    everyone = pl.DataFrame({"user": np.arange(users)})
    return everyone.join(sums, on="user", how="left", maintain_order="left").fill_null(0)


def _exposures(served: pl.DataFrame, bucket: str, ids: NDArray[np.int64]) -> pl.DataFrame:
    return served.select(
        pl.lit(bucket).alias("bucket"),
        pl.Series("user_id", ids[served.get_column("user").to_numpy()]),
        pl.col("session").cast(pl.Int32),
        pl.int_range(1, pl.len() + 1).over("user", "session").cast(pl.Int32).alias("position"),
        "clicked",
        pl.col("probability").cast(pl.Float32),
    )


def _users(
    sums: pl.DataFrame,
    pre: pl.DataFrame,
    bucket: str,
    ids: NDArray[np.int64],
    people: _People,
    sessions: NDArray[np.int64],
) -> pl.DataFrame:
    counts = ("sessions", "pv", "clicks", "purchases")
    pages = (pl.col("pv") / 50).ceil()
    return sums.select(
        pl.lit(bucket).alias("bucket"),
        pl.Series("user_id", ids),
        pl.Series("planned_sessions", people.planned, dtype=pl.Int32),
        pl.Series("sessions", sessions, dtype=pl.Int32),
        pl.col("pv", "clicks", "purchases").cast(pl.Int32),
        pl.col("gmv").cast(pl.Float64),
        pl.lit(0, pl.Int32).alias("deletes"),
        pl.lit(0, pl.Int32).alias("searches"),
        (pl.lit(0) if bucket == "cloud" else pages * 4).cast(pl.Int32).alias("orders"),
        pages.cast(pl.Int32).alias("pages"),
        *(pre.get_column(name).cast(pl.Int32).alias(f"pre_{name}") for name in counts),
        pre.get_column("gmv").cast(pl.Float64).alias("pre_gmv"),
    )
