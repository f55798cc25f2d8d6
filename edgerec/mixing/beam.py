"""The solver for values that depend on more than the card before: it keeps the best beginnings of plans."""

from __future__ import annotations

import math

import numpy as np

from edgerec.core.errors import NotFiniteError
from edgerec.mixing.dp import path_along
from edgerec.mixing.graph import MINUS, Graph, allowed_only
from edgerec.mixing.promise import promises
from edgerec.mixing.slate import Ints
from edgerec.mixing.task import Task, not_finite
from edgerec.mixing.values import Floats, Known, Prefixes, gains_along


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
    cards_of = matrix_of(task)
    every = np.arange(task.kinds)[:, None]
    one = np.eye(task.kinds, dtype=np.int64)
    with_last = graph.pages[0].axes.with_last
    # `latest` points into `cards_of`: by kind and plan, the card that is next.
    prefixes, states, latest = task.start(), np.zeros(1, np.int64), every * cards_of.shape[1]
    gains: Floats = np.zeros(1)
    history: list[tuple[Ints, Ints]] = []
    place = 0
    # All arrays are by kind and plan, with kinds that a plan may not take: half of the time of a place is the overhead
    # of NumPy's calls, and it would take more of them to leave these out. So do `take` and flat indices.
    for page, best in zip(graph.pages, to_go, strict=True):
        closed = np.where(np.isneginf(page.weights), MINUS, 0.0)
        for row, forbidden in enumerate(closed):
            follow = page.follow.take(states, axis=1)
            promise = forbidden.take(page.space.weight.take(states, axis=1))
            promise += best[row + 1].take(follow)
            cards = cards_of.take(latest)
            total, known = gains_of(task, place, prefixes, cards, promise)
            total += gains
            promise += total
            # With the card before in it, a state says which kind was added.
            kept = best_rows(promise, follow if with_last else follow * task.kinds + every, width)
            kind, parent = np.divmod(kept, len(states))
            cards, states, gains = cards.take(kept), follow.take(kept), total.take(kept)
            prefixes = prefixes.grow(parent, cards, kind, known and known.take(kept))
            latest = latest.take(parent, axis=1)
            latest += one.take(kind, axis=1)
            history.append((parent, cards))
            place += 1
        if page.link is not None:
            states = page.link[states]
    path = trace(history, int(gains.argmax()))
    return _better(task, path, float(gains.max()), path_along(graph, to_go)) if guide is None else path


def gains_of(task: Task, place: int, prefixes: Prefixes, cards: Ints, promise: Floats) -> tuple[Floats, Known | None]:
    """Return `values.extend` at a place of the task.

    Args:
        task: the task.
        place: the place.
        prefixes: b plans.
        cards: (kinds, b) the card of each kind that is next.
        promise: (kinds, b) minus infinity for cards that may not be added.

    Raises:
        NotFiniteError: the value of a card that may be added is NaN or infinite.
    """
    gains, known = task.values.extend(len(task.done) + place, prefixes, cards)
    # The sum of squares is finite only if all values are. It takes less time than a look at each of them.
    if not math.isfinite(np.vdot(gains, gains)):
        wrong = np.flatnonzero(~np.isfinite(gains) & (promise > MINUS))
        if len(wrong):
            raise NotFiniteError(not_finite(gains.flat[wrong[0]], int(cards.flat[wrong[0]]), len(task.done) + place))
    return gains, known


def matrix_of(task: Task) -> Ints:
    """Return (kinds, longest source + 1) the candidates by kind."""
    longest = max(len(source) for source in task.sources)
    matrix = np.full((task.kinds, longest + 1), -1, np.int64)
    for kind, source in enumerate(task.sources):
        matrix[kind, : len(source)] = source
    return matrix


def best_rows(scores: Floats, keys: Ints, width: int) -> Ints:
    """Return the cells (flat indices) of the `width` best scores above minus infinity, with one cell for each key."""
    best: dict[int, int] = {}
    numbers = keys.reshape(-1).tolist()
    # The loop over plain numbers ends after a few cells more than `width`.
    for cell in np.argsort(-scores, axis=None, kind="stable").tolist():
        if best.setdefault(numbers[cell], cell) == cell and len(best) == width:
            break
    cells = np.array(list(best.values()), np.int64)
    points = scores.take(cells)
    return cells[points > MINUS] if points[-1] == MINUS else cells


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
