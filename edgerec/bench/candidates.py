"""The candidate vectors of a request with full lists, for the benchmark: item vectors, relations and context."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edgerec.device_runtime.device_model import DeviceModel
from edgerec.device_runtime.relations import History
from edgerec.features.behaviours import BEHAVIOUR_KINDS
from edgerec.features.encoder import Values
from edgerec.features.relations.facts import Facts

NOW = 1_700_000_000_000
"""The time of the request, in milliseconds since 1970."""
KEYS = 20
"""Number of different keys in a column, so that a candidate has some behaviours with its key."""


def candidate_vectors(model: DeviceModel, *, seed: int = 0) -> Callable[[], Any] | None:
    """Return a function for the benchmark that makes the candidate vectors of a random request.

    The lists have the maximum lengths. The facts of the items are known already, as their vectors are. Return None if
    the specification has neither relations nor context.
    """
    encoder, limits, rng = model.candidates, model.limits, np.random.default_rng(seed)
    if encoder.width == model.items.width:
        return None
    columns = encoder.relations.empty().facts

    def random_facts(count: int) -> Facts:
        keys = rng.integers(0, KEYS, (count, columns.keys.shape[1]))
        return Facts(keys, rng.random((count, columns.numbers.shape[1])))

    histories = {}
    for kind in BEHAVIOUR_KINDS:
        count = limits.of(kind)
        ages = np.sort(rng.integers(1, 24 * 3_600_000, count))[::-1]
        histories[kind] = History(random_facts(count), NOW - ages)
    items = rng.normal(size=(limits.candidates, model.items.width)).astype(np.float32)
    facts = random_facts(limits.candidates)
    context: Values = dict.fromkeys(encoder.context_columns)
    return lambda: encoder.vectors(items, items=facts, histories=histories, context=context, time=NOW)
