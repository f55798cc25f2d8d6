"""How many places the cards of each kind can fill at most, counted for each kind alone. It is cheap."""

from __future__ import annotations

from edgerec.mixing.limits import Limits
from edgerec.mixing.task import Task


def room(task: Task, limits: Limits) -> int:
    """Return a number of places from the first one that no plan exceeds.

    A card of each kind stands as early as its gap, its first place and the largest number on a page allow. If all kinds
    together have too few cards for the places so far, no plan goes on. Advertisers and smallest numbers do not count.
    """
    before = task.before.kinds.tolist()[::-1]
    near = [before[: gap - 1] for gap in limits.gap]
    free_at = [
        max(limits.first[kind], gap - 1 - near[kind].index(kind) if kind in near[kind] else 0)
        for kind, gap in enumerate(limits.gap)
    ]
    left = [len(source) for source in task.sources]
    cards = 0
    for piece in limits.pieces:
        on_page = list(piece.already)
        for place in range(piece.start, piece.stop):
            for kind, gap in enumerate(limits.gap):
                if left[kind] and place >= free_at[kind] and on_page[kind] < piece.most[kind]:
                    left[kind] -= 1
                    on_page[kind] += 1
                    free_at[kind] = place + gap
                    cards += 1
            if cards <= place:
                return place
    return task.left


def too_few(task: Task, limits: Limits) -> bool:
    """Return whether the pages need more cards of a kind than there are."""
    needed = [0] * task.kinds
    for piece in limits.pieces:
        for kind, (low, have) in enumerate(zip(piece.least, piece.already, strict=True)):
            needed[kind] += max(low - have, 0)
    return any(count > len(source) for count, source in zip(needed, task.sources, strict=True))
