"""The reasons not to trust a test: numbers of users that the split cannot give, and false differences of A/A tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from edgerec.reports.block import Block
from edgerec.reports.cells import p_value
from edgerec.reports.metrics import in_order, metric

_ALARM = 0.001
"""Checks with a smaller p-value raise an alarm. 0.05 would raise one in every twentieth correct test."""
_LEVEL = 0.05
_SIGMAS = 4.0


def warnings(document: Mapping[str, Any]) -> Block | None:
    """Return the block of warnings, or None if there are none."""
    items = [*_sample_ratio(document.get("sample_ratio") or {}), *_aa(document.get("aa") or {})]
    return Block("warnings", "Warnings", items=items) if items else None


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
