"""The documents of `edgerec mix evaluate` and `edgerec mix ablate`."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgerec.model.surroundings.figures import METRICS, Floats, Prepared, mean_metrics, prepare, resampled
from edgerec.model.surroundings.shown import ShownCards

LEAST = 200
"""A group of cards with fewer exposures, or without both labels, has no figures of its own."""
SEED = 1


def comparison(
    cards: ShownCards, logits: Mapping[str, Sequence[Floats]], *, reference: str, by_group: bool = True
) -> dict[str, Any]:
    """Return the figures of several models on the same cards, over all cards and by group.

    Args:
        cards: the cards.
        logits: for each model, the logits (n,) by each of its seeds.
        reference: the model to which the others are compared.
        by_group: whether groups have intervals, too.

    Returns:
        `exposures`, `clicks`, `users`, and `models`: for each model, each metric with `ci95` over users, `sd` over
        seeds, `vs` the reference and `vs_ci95` of the paired difference. `kinds` and `previous` have the same for the
        cards of each kind and for those after a card of each kind; `pairs` has click rates by both.
    """
    groups = {
        "kinds": (cards.kind, cards.kinds),
        "previous": (cards.previous, cards.neighbours),
    }
    every = np.ones(len(cards.label), bool)
    document = {
        "exposures": len(cards.label),
        "clicks": int(cards.label.sum()),
        "users": cards.users,
        "models": _models(cards, logits, every, reference, intervals=True),
    }
    for name, (index, names) in groups.items():
        document[name] = [
            {**head, "models": _models(cards, logits, index == number, reference, intervals=by_group)}
            for number, title in enumerate(names)
            if (head := _head(cards, index == number, {"kind": title})) is not None
        ]
    document["pairs"] = _pairs(cards, logits)
    return document


def _head(cards: ShownCards, chosen: NDArray[np.bool_], names: Mapping[str, str]) -> dict[str, Any] | None:
    exposures, clicks = int(chosen.sum()), int(cards.label[chosen].sum())
    if exposures < LEAST or not 0 < clicks < exposures:
        return None
    return {**names, "exposures": exposures, "click_rate": clicks / exposures}


def _models(
    cards: ShownCards,
    logits: Mapping[str, Sequence[Floats]],
    chosen: NDArray[np.bool_],
    reference: str,
    *,
    intervals: bool,
) -> dict[str, Any]:
    prepared = {
        name: [prepare(cards.user[chosen], cards.label[chosen], each[chosen]) for each in seeds]
        for name, seeds in logits.items()
    }

    def figures(weights: Floats | None) -> dict[str, float]:
        means = {name: mean_metrics(seeds, weights) for name, seeds in prepared.items()}
        figure = {}
        for (name, row), metric in itertools.product(means.items(), METRICS):
            figure[f"{name} {metric}"] = row[metric]
            figure[f"{name} vs {metric}"] = row[metric] - means[reference][metric]
        return figure

    if intervals:
        found = resampled(cards.users, figures, seed=SEED)
    else:
        found = {name: (value, math.nan, math.nan) for name, value in figures(None).items()}
    return {name: _model(name, seeds, found, reference, intervals=intervals) for name, seeds in prepared.items()}


def _model(
    name: str,
    seeds: Sequence[Prepared],
    found: Mapping[str, tuple[float, float, float]],
    reference: str,
    *,
    intervals: bool,
) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for metric in METRICS:
        value, low, high = found[f"{name} {metric}"]
        row[metric] = value
        if len(seeds) > 1:
            row[f"{metric}_sd"] = float(np.std([each.metrics()[metric] for each in seeds], ddof=1))
        if intervals:
            row[f"{metric}_ci95"] = [low, high]
        if name != reference:
            difference, low, high = found[f"{name} vs {metric}"]
            row[f"{metric}_vs"] = difference
            if intervals:
                row[f"{metric}_vs_ci95"] = [low, high]
    return row


def _pairs(cards: ShownCards, logits: Mapping[str, Sequence[Floats]]) -> list[dict[str, Any]]:
    """Return click rates and predicted click rates by own kind and kind of the card before."""
    predicted = {
        name: np.mean([1 / (1 + np.exp(-np.clip(each, -50, 50))) for each in seeds], axis=0)
        for name, seeds in logits.items()
    }
    rows = []
    for own, kind in enumerate(cards.kinds):
        for before, previous in enumerate(cards.neighbours):
            chosen = (cards.kind == own) & (cards.previous == before)
            head = _head(cards, chosen, {"kind": kind, "previous": previous})
            if head is not None:
                means = {name: float(each[chosen].mean()) for name, each in predicted.items()}
                rows.append({**head, "predicted": means})
    return rows
