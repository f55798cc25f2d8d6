"""The document of `edgerec explain`: plain values that the table, the JSON and the page show (docs/explain.md)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgerec.bench.replay.timeline import LoggedBehaviour, LoggedRequest
from edgerec.device_runtime.serving import best_first
from edgerec.explanation.attention import AttentionRows
from edgerec.explanation.effects import Effects, Floats, Situation
from edgerec.explanation.groups import Group
from edgerec.explanation.items import LoggedItems
from edgerec.explanation.probability import points, probability
from edgerec.explanation.sentences import behaviour_sentence, candidate_sentences
from edgerec.explanation.words import actions_in_words, ago
from edgerec.features.behaviours import BehaviourKind

MS = 1000
STRONGEST = 3
"""Number of behaviours for and against each candidate that are listed."""


def build_document(
    situation: Situation,
    effects: Effects,
    groups: Sequence[Group],
    attention: Mapping[BehaviourKind, AttentionRows | None],
    request: LoggedRequest,
    items: LoggedItems,
    *,
    top: int,
) -> dict[str, Any]:
    """Return the part of the document about the behaviours and the candidates.

    Args:
        situation: the request as the device knew it.
        effects: its scores with and without behaviours.
        groups: its scores without the behaviours of a category.
        attention: the attention over each kind.
        request: the request of the logs.
        items: the items of the logs.
        top: number of best candidates in `shown`.
    """
    kinds = list(situation.past)
    columns = [(kind, row) for kind in kinds for row in range(len(situation.past[kind]))]
    without = np.concatenate([effects.without[kind] for kind in kinds])
    difference = effects.logits - without
    # A behaviour that raises all candidates alike does not change their order.
    relative = difference - difference.mean(axis=1, keepdims=True)
    behaviours = [
        _behaviour(situation, kind, row, items) | {"largest_effect": float(np.abs(difference[column]).max())}
        for column, (kind, row) in enumerate(columns)
    ]
    ranks = np.array([_ranks(row) for row in without], np.int64).reshape(without.shape)
    rank = _ranks(effects.logits)
    without_all = _ranks(effects.without_all)
    without_kind = {kind: _ranks(logits) for kind, logits in effects.without_kind.items()}
    group_ranks = [_ranks(group.without) for group in groups]
    listed = [
        {"name": group.name, "value": _json(group.value), "behaviours": [columns.index(one) for one in group.members]}
        for group in groups
    ]
    found = []
    for row in best_first(effects.logits.astype(np.float32)):
        parts = [
            {
                "behaviour": column,
                "logits": float(difference[column, row]),
                "relative": float(relative[column, row]),
                "points": points(effects.logits[row], without[column, row]),
                "rank_without": int(ranks[column, row]),
            }
            for column in range(len(columns))
        ]
        candidate: dict[str, Any] = {
            "item_id": request.item_ids[row],
            "name": items.name(request.item_ids[row]),
            "attributes": _plain(items.attributes(request.item_ids[row])),
            "sent_at": row + 1,
            "rank": int(rank[row]),
            "clicked": None if request.clicked[row] is None else bool(request.clicked[row]),
            **_scored(effects.logits[row]),
            "without_behaviours": _scored(effects.without_all[row]) | {"rank": int(without_all[row])},
            "without_kind": {
                kind.name: _scored(effects.without_kind[kind][row]) | {"rank": int(without_kind[kind][row])}
                for kind in kinds
            },
            "effects": difference[:, row].tolist(),
            "ranks_without": ranks[:, row].tolist(),
            "groups": [
                {"effect": float(effects.logits[row] - group.without[row]), "rank_without": int(of_group[row])}
                for group, of_group in zip(groups, group_ranks, strict=True)
            ],
            "attention": {
                kind.name: None if rows is None else rows.weights[row].tolist() for kind, rows in attention.items()
            },
            "for": _strongest(parts, sign=1),
            "against": _strongest(parts, sign=-1),
        }
        found.append(
            candidate | {"sentence": candidate_sentences(candidate, behaviours, listed, candidates=len(effects.logits))}
        )
    return {
        "behaviours": behaviours,
        "groups": listed,
        "candidates": found,
        "shown": [index for index, one in enumerate(found) if index < top or one["clicked"]],
        "attention": {
            kind.name: None if rows is None else {"normalised": rows.normalised, "max_abs": rows.max_abs}
            for kind, rows in attention.items()
        },
    }


def _behaviour(situation: Situation, kind: BehaviourKind, row: int, items: LoggedItems) -> dict[str, Any]:
    past = situation.past[kind]
    logged: LoggedBehaviour = past.logged[row]
    actions = actions_in_words(situation.model.spec.actions(kind), logged.action)
    seconds = (situation.time - logged.time) / MS
    name = items.name(logged.item_id)
    return {
        "kind": kind.name,
        "ordinal": int(past.ordinals[row]),
        "time": logged.time,
        "seconds_ago": seconds,
        "ago": ago(seconds),
        "item_id": logged.item_id,
        "name": name,
        "attributes": _plain(items.attributes(logged.item_id)),
        "opened_from": logged.opened_from,
        "actions": actions,
        "values": _plain(logged.action),
        "words": behaviour_sentence(kind, name, seconds, actions),
    }


def _ranks(logits: Floats) -> NDArray[np.int64]:
    """Return the position (c,) of each candidate in the order of the device, from 1."""
    ranks = np.empty(len(logits), np.int64)
    ranks[list(best_first(logits.astype(np.float32)))] = np.arange(1, len(logits) + 1)
    return ranks


def _strongest(parts: Sequence[dict[str, Any]], *, sign: int) -> list[dict[str, Any]]:
    """Return the largest effects in one direction. Equal ones are in order of the behaviours."""
    fitting = [part for part in parts if part["logits"] * sign > 0]
    return sorted(fitting, key=lambda part: -abs(part["logits"]))[:STRONGEST]


def _scored(logit: float) -> dict[str, float]:
    return {"score": float(logit), "probability": probability(logit)}


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that exist, as JSON can contain them."""
    return {name: _json(value) for name, value in values.items() if value is not None and value == value}


def _json(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return value if isinstance(value, (bool, int, str)) else str(value)
