"""The top of the report of an A/B test: the result in one sentence, what was simulated, and the caution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgerec.core.text import counted, printable
from edgerec.reports.ab_test.buckets import control_of, treatment_of
from edgerec.reports.metrics import metric
from edgerec.reports.simulated import CAUTION, PAPER_CAUTION, Lead
from edgerec.reports.uplift import read_uplift

_TITLE = "A/B test in a simulated world"
BEGIN = f"## {_TITLE}"
"""First line of the Markdown."""


def lead(document: Mapping[str, Any]) -> Lead:
    """Return the top of the report of the document of `edgerec abtest`."""
    paper = any(read_uplift(entry).paper is not None for entry in document["uplift"].values())
    return Lead(_TITLE, headline(document), facts(document), (CAUTION, PAPER_CAUTION) if paper else (CAUTION,))


def headline(document: Mapping[str, Any]) -> str:
    """Return the effect on the primary metric as one sentence."""
    if treatment_of(document) is None:
        return "Only one bucket was simulated, so there is nothing to compare it with."
    primary = document["primary"]
    found = read_uplift(document["uplift"].get(primary))
    if found.mean is None:
        return f"The effect of EdgeRec on {metric(primary).words} was not measured."
    return f"In this simulated world, EdgeRec {found.sentence(metric(primary).words)}."


def facts(document: Mapping[str, Any]) -> list[str]:
    """Return what was simulated, as sentences."""
    users, buckets = document["users"], document["buckets"]
    number = counted(len(buckets), "bucket", "buckets")
    if len(buckets) == 1:
        design = f"{counted(users, 'user', 'users')} in one bucket, {printable(control_of(document))}."
    elif document["design"] == "paired":
        design = f"Paired design: each of {counted(users, 'user', 'users')} is in each of {number}, with the same "
        design += "random numbers."
    else:
        design = f"Split design: each of {counted(users, 'user', 'users')} is in one of {number}, as a company would "
        design += "test it."
    sentences = [design]
    analysed = sum(bucket["users"] or 0 for bucket in buckets.values())
    if document["design"] == "split" and analysed < users:
        without = counted(users - analysed, "user", "users")
        sentences.append(f"{without} had no session in the test period and are left out.")
    treatment = treatment_of(document)
    if treatment is not None:
        what = f"The treatment is the bucket {printable(treatment)}: EdgeRec orders the feed on the device."
        sentences += [what, f"The control is {printable(control_of(document))}: the cloud alone, without EdgeRec."]
    return sentences
