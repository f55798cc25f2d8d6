"""What a state of a graph promises: the best value of the places after it, if values depend on the card before."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgerec.mixing.graph import MINUS, Graph, Page
from edgerec.mixing.slate import Ints
from edgerec.mixing.space import pair_index
from edgerec.mixing.values import Floats


def promises(graph: Graph) -> list[Floats] | None:
    """Return by page (places + 1, size + 1) the best value from each state to the end by `values.pairs`.

    A state says how many cards of each kind were taken, and which kind stands before. So it says which card stands
    before. None: the values of the task have no pairs.
    """
    task = graph.task
    if not graph.pages[0].axes.with_last:
        return None
    last = graph.pages[-1].axes
    most = [last.most_taken.get(kind, task.left) for kind in range(task.kinds)]
    sources = [source[:room] for source, room in zip(task.sources, most, strict=True)]
    cards = np.concatenate(sources)
    pairs = task.values.pairs(len(task.done), task.places, cards, _likely(task.open_table, sources, task.left))
    if pairs is None:
        return None
    counts = [len(source) for source in sources]
    return graph.to_go(lambda page: _rows(graph, page, pairs, counts))


def _likely(table: Floats, sources: list[Ints], places: int) -> Ints:
    """Return by kind the number of cards among the best ones, whatever their order."""
    cards = np.concatenate(sources)
    kinds = np.repeat(np.arange(len(sources)), [len(source) for source in sources])
    best = np.argsort(-table[len(table) // 2, cards].mean(axis=1), kind="stable")[:places]
    return np.bincount(kinds[best], minlength=len(sources))


def _rows(graph: Graph, page: Page, pairs: Floats | NDArray[np.float32], counts: list[int]) -> tuple[Floats, Ints]:
    """Return the values of pairs at the places of a page, in rows that `pair_index` points into."""
    axes, kinds, length = page.axes, len(counts), len(page.weights)
    offsets, none = np.array(axes.offsets(kinds)) // (kinds + 1), pairs.shape[1]
    places = np.arange(page.piece.start, page.piece.stop)
    # By slot: its kind, and how many cards of the kind were taken.
    kind = np.repeat(np.arange(kinds), np.diff(offsets))
    taken = np.broadcast_to(np.arange(len(kind)) - offsets[kind], (length, len(kind)))
    if axes.main is not None:
        taken = np.where(kind == axes.main, places[:, None] - taken, taken)
    # The card that is next, and the card before.
    first, most = np.cumsum([0, *counts])[kind], np.array(counts)[kind]
    own = first + np.maximum(np.minimum(taken, most - 1), 0)
    before = np.full((length, len(kind) + 1), none)
    before[:, :-1] = np.where((taken > 0) & (taken <= most), first + taken - 1, none)
    own *= none + 1
    own += (places * pairs[0].size)[:, None]
    rows = pairs.reshape(-1).take(own[:, :, None] + before[:, None, :], mode="clip")
    np.copyto(rows, MINUS, where=np.isneginf(page.weights[:, :: kinds + 1])[:, :, None])
    return rows.reshape(length, -1), pair_index(axes, graph.recency)
