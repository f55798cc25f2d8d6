"""The tables of `edgerec off-policy`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group

from edgerec.cli.output import table_of

LEAST_COVERAGE, LEAST_SAMPLE = 0.5, 60
"""Below these, the log says little about a policy (docs/off-policy.md)."""
WEAK = (
    f"* The log says little about this policy: it covers less than {LEAST_COVERAGE:.0%} of the places, or its "
    f"effective sample size is below {LEAST_SAMPLE}."
)


def off_policy_table(document: Mapping[str, Any]) -> Group:
    """Return the tables of the document of `evaluate_policies`."""
    counts = [
        ("requests with explored places", f"{document['requests']:,} of {document['users']:,} users"),
        ("explored places that users saw", f"{document['places']:,}"),
        ("that did not show the best candidate", _share(document["explored"])),
        ("clicks", f"{document['clicks']:,}"),
    ]
    policies = document["policies"]
    known = any(policy["truth"] for policy in policies)
    columns = ["policy", "click rate (DR)", "SNIPS", "IPS", "against the log", *(["truth", "inside"] if known else [])]
    rows = [
        (
            policy["name"] + (" *" if _weak(policy) else ""),
            *(_interval(policy[name]) for name in ("dr", "snips", "ips", "difference")),
            *(_truth(policy["truth"]) if known else ()),
        )
        for policy in policies
    ]
    support = [
        (
            policy["name"],
            f"{policy['places']:,}",
            _share(policy["coverage"]),
            _share(policy["agreement"]),
            "-" if policy["effective_sample_size"] is None else f"{policy['effective_sample_size']:,.0f}",
        )
        for policy in policies
    ]
    weak = any(_weak(policy) for policy in policies)
    return Group(
        table_of(("", ""), counts, header=False),
        "",
        table_of(columns, rows),
        *([WEAK] if weak else []),
        "",
        table_of(("policy", "places", "coverage", "agrees with the log", "effective sample size"), support),
    )


def _weak(policy: Mapping[str, Any]) -> bool:
    """Return whether the log says little about a policy."""
    size = policy["effective_sample_size"]
    return policy["coverage"] < LEAST_COVERAGE or size is None or size < LEAST_SAMPLE


def _share(share: float) -> str:
    return f"{share:.1%}"


def _interval(estimate: Mapping[str, Any] | None) -> str:
    if estimate is None:
        return "-"
    low, high = estimate["ci95"]
    return f"{estimate['mean']:.4f} ± {(high - low) / 2:.4f}" if high > low else f"{estimate['mean']:.4f}"


def _truth(truth: Mapping[str, Any] | None) -> tuple[str, str]:
    return ("-", "-") if truth is None else (f"{truth['mean']:.4f}", "yes" if truth["inside"] else "no")
