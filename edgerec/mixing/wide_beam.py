"""The beam for problems whose graph would be too large: it checks the limits card by card.

It cannot see whether a later place has a card that may stand there, only whether the cards that a page still needs fit.
"""

from __future__ import annotations

import numpy as np

from edgerec.mixing.beam import best_rows, gains_of, matrix_of, trace
from edgerec.mixing.graph import MINUS
from edgerec.mixing.limits import Limits, Piece
from edgerec.mixing.slate import NONE, WINDOW, Ints
from edgerec.mixing.task import Task
from edgerec.mixing.values import Floats


def wide_path(task: Task, limits: Limits, *, width: int) -> list[int]:
    """Return the candidates of the best plan found. It may be shorter than the task."""
    kinds = task.kinds
    cards_of, counts = matrix_of(task), np.array([len(source) for source in task.sources])
    advertisers = task.problem.cards.advertisers
    gap, wide = np.array(limits.gap), np.array(limits.advertiser_gap)
    memory = max(WINDOW, int(gap.max()) - 1, int(wide.max()) - 1)
    latest_kinds, latest_advertisers = _latest(task, memory)
    prefixes, taken = task.start(), np.zeros((1, kinds), np.int64)
    gains: Floats = np.zeros(1)
    history: list[tuple[Ints, Ints]] = []
    every, distance = np.arange(kinds), np.arange(memory, 0, -1)
    for piece in limits.pieces:
        on_page = np.tile(np.array(piece.already), (len(taken), 1))
        for place in range(piece.start, piece.stop):
            own = latest_kinds[:, None, :] == every[:, None]
            cards = cards_of[every, np.minimum(taken, cards_of.shape[1] - 1)]
            by = np.where(taken < counts, advertisers[cards], 0)
            same = own & (latest_advertisers[:, None, :] == by[:, :, None]) & (by != 0)[:, :, None]
            near = (own & (distance < gap[:, None])).any(axis=2) | (same & (distance < wide[:, None])).any(axis=2)
            allowed = ~near & (taken < counts) & (on_page < piece.most) & (place >= np.array(limits.first))
            enough = allowed & _fits(piece, place, on_page, gap)
            if not enough.any():
                return trace(history, int(gains.argmax())) if history else []
            parent, kind = np.nonzero(enough)
            chosen = cards[parent, kind]
            grown, known = gains_of(task, place, prefixes, cards.T, np.where(enough.T, 0.0, MINUS))
            total = gains[parent] + grown[kind, parent]
            after = taken[parent]
            after[np.arange(len(kind)), kind] += 1
            kept = best_rows(total, _keys(after, on_page[parent], latest_kinds[parent, 1:], kind), width)
            parent, kind, chosen = parent[kept], kind[kept], chosen[kept]
            prefixes = prefixes.grow(parent, chosen, kind, known and known.take(kind * len(taken) + parent))
            gains, taken, on_page = total[kept], after[kept], on_page[parent]
            on_page[np.arange(len(kind)), kind] += 1
            latest_kinds = np.concatenate([latest_kinds[parent, 1:], kind[:, None]], axis=1)
            latest_advertisers = np.concatenate([latest_advertisers[parent, 1:], advertisers[chosen][:, None]], axis=1)
            history.append((parent, chosen))
    return trace(history, int(gains.argmax()))


def _latest(task: Task, memory: int) -> tuple[Ints, Ints]:
    kinds, advertisers = np.full((1, memory), NONE, np.int64), np.zeros((1, memory), np.int64)
    before = min(memory, len(task.before))
    if before:
        kinds[0, -before:] = task.before.kinds[-before:]
        advertisers[0, -before:] = task.before.advertisers[-before:]
    return kinds, advertisers


def _fits(piece: Piece, place: int, on_page: Ints, gap: Ints) -> np.ndarray:
    """Return (b, kinds) whether the cards that the page needs fit on the places after one more card of a kind."""
    room = piece.stop - place - 1
    own = np.eye(len(gap), dtype=np.int64)
    missing = np.maximum(np.array(piece.least) - on_page[:, None, :] - own, 0)
    first = np.where(own > 0, gap - 1, 0)
    spread = np.where(missing > 0, first + (missing - 1) * gap + 1, 0)
    fits: np.ndarray = (missing.sum(axis=2) <= room) & (spread <= room).all(axis=2)
    return fits


def _keys(taken: Ints, on_page: Ints, before: Ints, kind: Ints) -> Ints:
    """Return one number for each beginning of a plan: equal ones have the same future."""
    rows = np.ascontiguousarray(np.concatenate([taken, on_page, before, kind[:, None]], axis=1))
    _, keys = np.unique(rows, axis=0, return_inverse=True)
    return keys.reshape(-1)
