"""Which behaviours the model looked at in a re-rank, as the page shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edgerec.demo.cards import Cards
from edgerec.demo.models import DemoModels
from edgerec.demo.watched import Rerank
from edgerec.device_runtime.store.behaviour_store import BehaviourStore
from edgerec.device_runtime.store.rows import Behaviour
from edgerec.explanation.words import actions_in_words, ago
from edgerec.features.behaviours import BEHAVIOUR_KINDS, EXPOSURE, BehaviourKind

BEST = 10
"""The weights are means over so many candidates, the best ones of the new order."""
SHOWN = 3
"""Number of behaviours of each kind that are shown."""


def looked_at(
    models: DemoModels, rerank: Rerank, read: Mapping[BehaviourKind, Sequence[Behaviour]], cards: Cards
) -> list[dict[str, Any]]:
    """Return for each kind of behaviour those with the largest attention weights, largest first.

    A kind without behaviours is left out, and so is a kind whose attention cannot be read out of the model
    (`edgerec.explanation.attention`). `share` is a behaviour's part of all weights of its kind, by their size.

    Args:
        models: the models.
        rerank: the re-rank.
        read: the behaviours of each kind that it read, from `behaviours_read`.
        cards: the catalogue as people read it.

    Raises:
        SessionError: the run fails.
    """
    found = []
    for kind, rows in models.attention(rerank.arguments).items():
        if rows is None:
            continue
        weights = rows.weights[list(rerank.request.positions or [])[:BEST]].mean(axis=0)
        sizes = np.abs(weights)
        shares = sizes / (sizes.sum() or 1.0)
        behaviours = read[kind][-len(shares) :]
        if len(behaviours) < len(shares):
            continue  # The store has pruned some meanwhile.
        features = models.shared.spec.actions(kind)
        largest = np.argsort(-shares, kind="stable")[:SHOWN].tolist()
        lines = []
        for row in largest:
            one = behaviours[row]
            words = actions_in_words(features, one.action) or ["saw it" if kind is EXPOSURE else "opened it"]
            words.append(ago(max(rerank.request.time - one.time, 0) / 1000))
            lines.append({"card": cards.card(one.item_id), "words": ", ".join(words), "share": float(shares[row])})
        found.append({"kind": kind.name, "count": len(shares), "behaviours": lines})
    return sorted(found, key=lambda each: each["kind"] == EXPOSURE.name)


def behaviours_read(store: BehaviourStore, rerank: Rerank) -> dict[BehaviourKind, list[Behaviour]]:
    """Return the behaviours of each kind that a re-rank could read, oldest first.

    Raises:
        StoreError: the store cannot be read.
    """
    found = {}
    for kind in BEHAVIOUR_KINDS:
        end = rerank.request.exposures_end if kind is EXPOSURE else rerank.request.page_views_end
        limit = store.limits.of(kind)
        known = store.history(kind, max(end - limit, 0), limit)
        found[kind] = [one for ordinal, one in known if ordinal < end]
    return found
