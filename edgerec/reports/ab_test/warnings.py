"""The reasons not to trust a test: too few users, numbers of users that a split cannot give, and false A/A tests."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from edgerec.reports.block import Block
from edgerec.reports.cells import p_value
from edgerec.reports.metrics import in_order, metric
from edgerec.reports.uplift import Uplift, read_uplift

_ALARM = 0.001
"""Checks with a smaller p-value raise an alarm. 0.05 would raise one in every twentieth correct test."""
_LEVEL = 0.05
_SIGMAS = 4.0
FEW_USERS = 200
"""With fewer users in a bucket, p-values may be wrong. A/A tests of 133 users found that (docs/experiments.md)."""
_FOUND = (1.960 + 0.842) / 1.960
"""An effect of this many half-widths of the 95 % interval is found in 80 % of tests (normal distribution)."""


def warnings(document: Mapping[str, Any]) -> Block | None:
    """Return the block of warnings, or None if there are none."""
    items = [*_few_users(document), *_sample_ratio(document.get("sample_ratio") or {}), *_aa(document.get("aa") or {})]
    return Block("warnings", "Warnings", items=items) if items else None


def _few_users(document: Mapping[str, Any]) -> Iterator[str]:
    users = min(bucket["users"] or 0 for bucket in document["buckets"].values())
    if len(document["buckets"]) < 2 or users >= FEW_USERS:
        return
    smallest = _smallest(read_uplift(document["uplift"].get(document["primary"])))
    name = metric(document["primary"]).name
    seen = "" if smallest is None else f" A test of this size finds a rise of {name} only from about {smallest} on."
    yield (
        f"{users} users in a bucket are too few for a conclusion, whatever the intervals say: with fewer than "
        f"{FEW_USERS}, p-values and intervals may be wrong.{seen} Use more --users."
    )


def _smallest(uplift: Uplift) -> str | None:
    """Return the uplift that such a test finds in 80 % of cases, from the width of the interval."""
    if uplift.ci95 is None or uplift.ci95[0] <= -1:
        return None
    low, high = (math.log1p(end) for end in uplift.ci95)
    return f"{100 * math.expm1(_FOUND * (high - low) / 2):.0f} %"


def _sample_ratio(found: Mapping[str, Any]) -> Iterator[str]:
    p = found.get("p")
    if p is not None and p < _ALARM:
        yield (
            f"The numbers of users of the buckets are not those of a random split (p {_with_sign(p)}). "
            "Do not trust the uplifts."
        )


def _aa(found: Mapping[str, Any]) -> Iterator[str]:
    metrics = found.get("metrics") or {}
    for key in in_order(metrics):
        share, ks = metrics[key].get("below_5_percent"), metrics[key].get("ks_p")
        # Splits of the same users are not quite independent, so the bound is wide.
        bound = _SIGMAS * (_LEVEL * (1 - _LEVEL) / max(1, found["splits"])) ** 0.5
        if share is not None and abs(share - _LEVEL) > bound:
            yield (
                f"{metric(key).name}: {100 * share:.1f} % of A/A tests find a difference at the level of 5 %, where "
                "there is none. Do not trust its p-values and intervals."
            )
        elif ks is not None and ks < _ALARM:
            yield (
                f"{metric(key).name}: the p-values of A/A tests are not uniform (p {_with_sign(ks)}). Do not trust its "
                "p-values and intervals."
            )


def _with_sign(p: float) -> str:
    text = p_value(p)
    return text if text.startswith("<") else f"= {text}"
