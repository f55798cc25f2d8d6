"""Compute the scores of a whole split, or write scores by hand, for tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np

from edgerec.data.samples import Samples
from edgerec.model.evaluation import scored_batches
from edgerec.model.tally import Scored


def score(function: Callable[[Any], Any], samples: Samples, split: str) -> Scored:
    found = list(scored_batches(function, samples, split))
    return Scored(**{f.name: np.concatenate([getattr(part, f.name) for part in found]) for f in fields(Scored)})


def scored(group: list[int], label: list[int], logit: list[float], **other: list[int]) -> Scored:
    """Return scores that are written by hand.

    By default, each request has its own user, and its candidates are in the order in which they were served.
    """
    groups = np.array(group, np.int64)
    position = np.arange(len(groups)) - np.array([group.index(one) for one in group], np.int64)
    columns = {"position": position, "user": groups, "exposures": groups * 0, "page_views": groups * 0}
    columns |= {name: np.array(values, np.int64) for name, values in other.items()}
    return Scored(groups, np.array(label, np.uint8), np.array(logit, np.float64), **columns)
