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
    slots = np.array(axes.offsets(kinds)) // (kinds + 1)
    starts, none = np.cumsum([0, *counts]), pairs.shape[1]
    places = np.arange(page.piece.start, page.piece.stop)
    # The card that is next, and the card before, of each kind if the slot's number of cards was taken.
    own, before = np.zeros((length, slots[-1]), np.int64), np.full((length, slots[-1] + 1), none)
    for kind, count in enumerate(counts):
        part = slice(slots[kind], slots[kind + 1])
        taken = np.arange(slots[kind + 1] - slots[kind])
        if kind == axes.main:
            taken = places[:, None] - taken
        if count:
            own[:, part] = starts[kind] + np.clip(taken, 0, count - 1)
            before[:, part] = np.where((taken > 0) & (taken <= count), starts[kind] + taken - 1, none)
    index = (own * (none + 1))[:, :, None] + before[:, None, :]
    index += (places * pairs[0].size)[:, None, None]
    rows = pairs.reshape(-1).take(index, mode="clip")
    rows[np.isneginf(page.weights[:, :: kinds + 1])] = MINUS
    return rows.reshape(length, -1), pair_index(axes, graph.recency)
