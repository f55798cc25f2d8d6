"""The exact solver: dynamic programming over the graph of a task, from the last place to the first one."""

from __future__ import annotations

import numpy as np

from edgerec.mixing.graph import Graph, allowed_only
from edgerec.mixing.values import Floats


def best_path(graph: Graph) -> list[int] | None:
    """Return the candidates of the best plan by the table; None if no plan fills all places."""
    return path_along(graph, graph.to_go())


def reach(graph: Graph, *, least: bool = True) -> int:
    """Return the largest number of places from the first one that a plan can fill.

    Args:
        least: whether the smallest numbers of cards hold on the pages that are filled.
    """
    to_go = graph.to_go(lambda page: allowed_only(page, 1.0), stop=True, least=least)
    return max(int(to_go[0][0, 0]), 0) if np.isfinite(to_go[0][0, 0]) else 0


def path_along(graph: Graph, to_go: list[Floats]) -> list[int] | None:
    """Return the candidates along the best card at each place, judged by the weight and by `to_go` after it."""
    if np.isneginf(to_go[0][0, 0]):
        return None
    state, taken, path = 0, [0] * graph.task.kinds, []
    sources = graph.task.sources
    for page, best in zip(graph.pages, to_go, strict=True):
        for row, weights in enumerate(page.weights):
            follow = page.follow[:, state]
            gains = weights[page.space.weight[:, state]] + best[row + 1][follow]
            kind = int(gains.argmax())
            path.append(int(sources[kind][taken[kind]]))
            taken[kind] += 1
            state = int(follow[kind])
        if page.link is not None:
            state = int(page.link[state])
    return path
