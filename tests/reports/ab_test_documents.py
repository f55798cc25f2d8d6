"""Documents of `edgerec abtest` and `edgerec loop` in which every part is filled, with random numbers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

PAPER = {"pv": 0.0157, "ctr": 0.0718, "click": 0.0887, "gmv": 0.1092}
"""Uplifts in section 4.3 of the paper."""
LONG = "bundles/2026-11-29/crban_plus-explore-0.05-page-20-without-page-views"


def ab_test_document(
    buckets: Sequence[str] = ("cloud", "crban", "dnn_rank", "crban_shadow"), *, design: str = "paired", seed: int = 1
) -> dict[str, Any]:
    """Return a document with a value in every part. The control is first, then the treatment."""
    rng = np.random.default_rng(seed)
    further = [(each, buckets[0]) for each in buckets[1:]] + [(each, buckets[1]) for each in buckets[2:]]
    uplift = _uplift(rng, 1.0) if len(buckets) > 1 else {}
    split = {
        "sample_ratio": {"counts": {name: int(rng.integers(480, 520)) for name in buckets}, "p": 0.4321},
        "aa": {
            "splits": 1000,
            **{
                name: {key: {"ks_p": float(rng.uniform(0.1, 1)), "below_5_percent": 0.049} for key in PAPER}
                for name in ("metrics", "without_cuped")
            },
        },
    }
    return {
        "schema": 1,
        "design": design,
        "users": 2000,
        "primary": "click",
        "world": {"seed": 1, "users": 10000, "config": {"items": 20000, "brands": 500, "drift": 0.1}},
        "seconds": 471.9,
        "simulation_seconds": 431.2,
        "sessions": 17234,
        "sessions_per_second": 40.2,
        "processes": 2,
        "winsorised": {"quantile": 0.99, "cap": 123.4},
        "buckets": {name: bucket(rng, index) for index, name in enumerate(buckets)},
        "uplift": {key: {**entry, "paper": PAPER[key]} for key, entry in uplift.items()},
        "comparisons": [
            {
                "bucket": name,
                "against": against,
                "uplift": uplift if not index else _uplift(rng, 1.0 if against == buckets[0] else 0.1),
            }
            for index, (name, against) in enumerate(further)
        ],
        "positions": {name: _positions(rng, 1.0 + 0.08 * bool(index)) for index, name in enumerate(buckets)},
        "activity": [
            {"sessions": name, "users": users, "uplift": _uplift(rng, 1.0)}
            for name, users in (("1", 612), ("2", 803), ("3 and more", 585))
            if len(buckets) > 1
        ],
        "power": {
            key: {
                "smallest_uplift": float(rng.uniform(0.02, 0.2)),
                "users_for_paper": int(rng.integers(1_000, 90_000)),
                "with_cuped": {
                    "smallest_uplift": float(rng.uniform(0.01, 0.1)),
                    "users_for_paper": int(rng.integers(500, 20_000)),
                }
                if design == "split"
                else None,
            }
            for key in PAPER
        },
        **(split if design == "split" else {}),
        "time": {"user": 190.3, "device": 503.8, "cloud": 71.9, "rest": 91.4},
    }


def loop_document(rounds: int = 4, *, seed: int = 1) -> dict[str, Any]:
    """Return a document of this many rounds with a value in every part."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(1, rounds + 1):
        first = _uplift(rng, 1.0 - 0.15 * (number - 1))
        found.append(
            {
                "round": number,
                "version_id": f"2026112{number}-abc{number}",
                "trained_from": f"2026112{number - 1}-abc{number - 1}" if number > 1 else None,
                "trained_on": {
                    "bucket": f"latest of round {number - 1}" if number > 1 else "simulated logs",
                    "requests": int(rng.integers(10_000, 20_000)),
                    "clicks": int(rng.integers(30_000, 60_000)),
                },
                "validation_gauc": float(rng.uniform(0.66, 0.7)),
                "users": 1500,
                "days": [7 * number, 7 * number + 6],
                "uplift": first if number == 1 else _uplift(rng, 1.0 + 0.02 * number),
                "against_first": _uplift(rng, 0.2) if number > 1 else None,
                "first_uplift": first,
                "buckets": {name: bucket(rng, index) for index, name in enumerate(("cloud", "latest", "first"))},
                "seconds": float(rng.uniform(300, 500)),
            }
        )
    return {"schema": 1, "rounds": found, "world": {"seed": 1, "users": 10000, "config": {"drift": 0.1}}}


def bucket(rng: np.random.Generator, index: int) -> dict[str, Any]:
    """Return what a bucket got. The bucket with index 0 has no model."""

    def number(size: float) -> float:
        return float(size * rng.lognormal(0, 0.02))

    return {
        "users": 2000,
        "sessions": number(2.2),
        "pv": number(132),
        "ctr": number(0.067),
        "click": number(8.9),
        "gmv": number(41),
        "orders": number(48) if index else 0.0,
        "pages": number(4.1),
        "deletes": number(0.4),
        "settings": {"page": 50, "fetch": 100, "triggers": ["click", "delete"], "explore": 0.05 * index}
        if index
        else {"page": 50},
        "version_id": f"20261129-{index}" if index else None,
    }


def _uplift(rng: np.random.Generator, size: float) -> dict[str, dict[str, Any]]:
    found = {}
    for key, value in PAPER.items():
        mean = float(size * value * rng.lognormal(0, 0.1))
        half = float(rng.uniform(0.006, 0.014)) * (2 if key == "gmv" else 1)
        p = 1e-120 if key == "click" else float(rng.uniform(1e-7, 1e-4))
        found[key] = {"mean": mean, "ci95": [mean - half, mean + 1.1 * half], "p": p, "p_adjusted": 2 * p}
    return found


def _positions(rng: np.random.Generator, gain: float) -> list[dict[str, Any]]:
    edges = [1, 6, 11, 21, 31, 41, 51, 76, 101, 151, 201]
    found = []
    for index, (low, after) in enumerate(pairwise(edges)):
        exposures = 80_000 - 6_000 * index
        rate = 0.09 * 0.93**index * gain ** min(index, 5) * float(rng.lognormal(0, 0.01))
        half = 1.96 * (rate / exposures) ** 0.5
        found.append(
            {
                "from": low, "to": after - 1, "exposures": exposures, "clicks": int(exposures * rate),
                "rate": rate, "ci95": [rate - half, rate + half],
            }
        )  # fmt: skip
    return found
