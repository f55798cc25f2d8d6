"""Random heads and problems for tests of ESAN."""

from __future__ import annotations

import numpy as np

from edgerec.mixing.head import CardVectors, SurroundingsHead
from edgerec.mixing.rules import MixRules, parse_rules
from edgerec.mixing.slate import Cards, Problem
from edgerec.mixing.surroundings import PLACES, rows_of
from edgerec.mixing.values import Prefixes

KINDS = ("product", "video", "live", "ad")


def random_head(rng: np.random.Generator, *, hidden: int = 8, kinds: tuple[str, ...] = KINDS) -> SurroundingsHead:
    """Return a head with random tables."""

    def random(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    codes = len(kinds) + 1
    tables = {name: random(codes, rows, hidden) for name, rows in rows_of(codes).items()}
    for table in tables.values():
        table[:, 0] = 0
    place = random(PLACES + 1)
    place[0] = 0
    return SurroundingsHead(kinds, **tables, place=place, output=random(hidden), bias=random(1))


def random_vectors(rng: np.random.Generator, count: int, *, hidden: int = 8) -> CardVectors:
    """Return random vectors of cards."""
    return CardVectors(*(rng.normal(size=(count, hidden)).astype(np.float32) for _ in range(3)))


def rules_of(*names: str) -> MixRules:
    """Return rules without bounds. The worth of the kinds is 1, 2, ..."""
    return parse_rules({"kinds": {name: {"worth": 1.0 + i} for i, name in enumerate(names)}}, where="test")


def random_problem(rng: np.random.Generator, count: int, *, seen: int = 0, places: int = 20) -> Problem:
    """Return a problem with random kinds and no advertisers."""
    kinds, before = rng.integers(0, len(KINDS), count), rng.integers(0, len(KINDS), seen)
    return Problem(Cards(kinds, np.zeros(count, np.int64)), Cards(before, np.zeros(seen, np.int64)), places)


def repeated(prefixes: Prefixes, count: int) -> Prefixes:
    """Return `count` times the one plan of `prefixes`."""
    parts = (prefixes.shown, prefixes.kinds, prefixes.cards)
    return Prefixes(*(np.repeat(part, count, axis=-1) for part in parts))
