"""Words in the names of columns: what each role is often called."""

from __future__ import annotations

import re
from collections.abc import Sequence

ID_WORDS = frozenset({"id", "ids", "key", "no", "nr", "uuid", "guid", "hash", "code", "number", "num"})


def words_of(name: str) -> tuple[str, ...]:
    """Return the words of a name in lower case: ``userId`` and ``USER_ID`` give ``user`` and ``id``."""
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return tuple(word for word in re.split(r"[\W_]+", split.lower()) if word)


def rank_of(name: str, tiers: Sequence[frozenset[str]], fillers: frozenset[str]) -> int | None:
    """Return how well a name fits a role: 0 is best. Return None if it does not fit.

    A name fits if one of its words is a word of the role, and all others are words of the role or fillers. The first
    tier with a word of the name counts.

    Args:
        name: the name of the column.
        tiers: the words of the role, the most certain ones first.
        fillers: words that may stand beside them.
    """
    every = frozenset().union(*tiers)
    words = [_without_id(word, every) for word in words_of(name)]
    if not words or any(word not in every and word not in fillers for word in words):
        return None
    return next((rank for rank, tier in enumerate(tiers) if tier & set(words)), None)


def _without_id(word: str, known: frozenset[str]) -> str:
    """Return ``user`` for ``userid``, if ``user`` is known and ``userid`` is not."""
    short = word.removesuffix("id")
    return short if word not in known and short in known else word
