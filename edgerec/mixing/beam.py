"""The solver for values that depend on more than the card before: it keeps the best beginnings of plans."""

from __future__ import annotations

import numpy as np

from edgerec.core.errors import NotFiniteError
from edgerec.mixing.dp import path_along
from edgerec.mixing.graph import Graph, allowed_only
from edgerec.mixing.promise import promises
from edgerec.mixing.slate import Ints
from edgerec.mixing.task import Task, not_finite
from edgerec.mixing.values import Floats, Prefixes, gains_along


def guided_path(graph: Graph, *, width: int, ahead: bool = True) -> list[int] | None:
    """Return the best plan found in a graph; None if no plan fills all places.

    Beginnings of plans are compared by their value so far, as `values.extend` says, plus the best value that the table
    promises for the places after them. Of those that end in one state with the same kind of card, only the best one is
    kept: they have the same future by the table, and keeping all would leave no room for others. The best plan by the
    table alone is valued, too; the better one is returned.

    Args:
        graph: the graph.
        width: number of beginnings that are kept.
        ahead: whether the promised values count. Without them, width 1 takes the best card place by place.
    """
    task = graph.task
    guide = promises(graph) if ahead else graph.to_go(allowed_only)
    to_go = graph.to_go() if guide is None else guide
    if np.isneginf(to_go[0][0, 0]):
        return None
    kinds = task.kinds
    cards_of = matrix_of(task)
    prefixes, states, taken = task.start(), np.zeros(1, np.int64), np.zeros((kinds, 1), np.int64)
    gains: Floats = np.zeros(1)
    history: list[tuple[Ints, Ints]] = []
    place = 0
    # `take` and flat indices: most of the time of a place is the overhead of NumPy's calls.
    for page, best in zip(graph.pages, to_go, strict=True):
        for row, weights in enumerate(page.weights):
            follow = page.follow.take(states, axis=1)
            promise = best[row + 1].take(follow)
            grown = np.flatnonzero(np.isfinite(promise + weights.take(page.space.weight.take(states, axis=1))))
            kind, parent = np.divmod(grown, len(states))
            cards = cards_of.take(kind * cards_of.shape[1] + taken.take(grown))
            total = gains.take(parent) + gains_of(task, place, prefixes.take(parent), cards)
            after = follow.take(grown)
            kept = best_rows(total + promise.take(grown), after * kinds + kind, width)
            kind, parent, cards, states = kind.take(kept), parent.take(kept), cards.take(kept), after.take(kept)
            gains = total.take(kept)
            prefixes = prefixes.take(parent).add(cards, kind)
            taken = taken.take(parent, axis=1)
            taken[kind, np.arange(len(kind))] += 1
            history.append((parent, cards))
            place += 1
        if page.link is not None:
            states = page.link[states]
    path = trace(history, int(gains.argmax()))
    return _better(task, path, float(gains.max()), path_along(graph, to_go)) if guide is None else path


def gains_of(task: Task, place: int, prefixes: Prefixes, cards: Ints) -> Floats:
    """Return `values.extend` at a place of the task.

    Raises:
        NotFiniteError: a value is NaN or infinite.
    """
    gains = task.values.extend(len(task.done) + place, prefixes, cards)
    if not np.isfinite(gains).all():
        wrong = np.flatnonzero(~np.isfinite(gains))[0]
        raise NotFiniteError(not_finite(gains[wrong], int(cards[wrong]), len(task.done) + place))
    return gains


def matrix_of(task: Task) -> Ints:
    """Return (kinds, longest source + 1) the candidates by kind."""
    longest = max(len(source) for source in task.sources)
    matrix = np.full((task.kinds, longest + 1), -1, np.int64)
    for kind, source in enumerate(task.sources):
        matrix[kind, : len(source)] = source
    return matrix


def best_rows(scores: Floats, keys: Ints, width: int) -> Ints:
    """Return the rows of the `width` best scores, with one row for each key."""
    best: dict[int, int] = {}
    numbers = keys.tolist()
    for row in np.argsort(-scores, kind="stable").tolist():
        if best.setdefault(numbers[row], row) == row and len(best) == width:
            break
    return np.array(list(best.values()), np.int64)


def trace(history: list[tuple[Ints, Ints]], row: int) -> list[int]:
    """Return the candidates of one plan.

    Args:
        history: for each place, the row that each plan grew from, and the card that was added.
        row: the plan's row at the last place.
    """
    path = []
    for parent, cards in reversed(history):
        path.append(int(cards[row]))
        row = int(parent[row])
    return path[::-1]


def _better(task: Task, path: list[int], value: float, other: list[int] | None) -> list[int]:
    """Return the better one of two plans, judged by `values.extend`."""
    if other is None or other == path:
        return path
    cards = np.array(other, np.int64)
    kinds = task.problem.cards.kinds[cards]
    total = gains_along(task.values, task.start(), cards, kinds, first=len(task.done)).sum()
    return other if total > value else path
