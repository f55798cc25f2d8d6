"""The keys of pages for `edgerec bench kv`: uniform, or with a Zipf distribution as in a shop."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from edgerec.kv.npz import NpzTables

ITEMS = 100
"""Number of candidates on a page."""
UNKNOWN_SHARE = 0.05
"""Share of keys that are not in a table. In practice they come from items that are newer than the model."""
SEED = 1

Page = dict[str, NDArray[np.int64]]


def uniform_pages(tables: NpzTables) -> Iterator[Page]:
    """Yield pages without end whose keys are drawn uniformly from each table. This is the worst case for caches."""
    rng = np.random.default_rng(SEED)
    known = _keys(tables)

    while True:
        yield {name: _page(rng, keys, rng.integers(0, max(1, len(keys)), ITEMS)) for name, keys in known.items()}


def zipf_pages(tables: NpzTables, exponent: float, *, items: int = ITEMS, seed: int = SEED) -> Iterator[Page]:
    """Yield pages without end. The weight of a table's r-th most popular row is ``r ** -exponent``.

    Popularity does not follow the order of the keys. It is the same for each `seed`.
    """
    shuffle, rng = np.random.default_rng(SEED), np.random.default_rng(seed)
    known = {name: shuffle.permutation(keys) for name, keys in _keys(tables).items()}
    cumulated = {name: np.cumsum(1.0 / np.arange(1, len(keys) + 1) ** exponent) for name, keys in known.items()}

    while True:
        yield {name: _page(rng, keys, _places(rng, cumulated[name], items)) for name, keys in known.items()}


def _places(rng: np.random.Generator, cumulated: NDArray[np.float64], items: int) -> NDArray[np.int64]:
    """Draw places from cumulated weights."""
    if not len(cumulated):
        return np.zeros(items, np.int64)
    found: NDArray[np.int64] = cumulated.searchsorted(rng.random(items) * cumulated[-1], "right")
    return np.minimum(found, len(cumulated) - 1)


def _page(rng: np.random.Generator, keys: NDArray[np.int64], places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the keys at these places, some of them replaced by keys that the table does not have."""
    # A random negative int64 is almost never a key of the table.
    others = rng.integers(-(2**63), 0, len(places))
    return np.where(rng.random(len(places)) < UNKNOWN_SHARE, others, keys[places]) if len(keys) else others


def _keys(tables: NpzTables) -> dict[str, NDArray[np.int64]]:
    return {name: np.concatenate([np.empty(0, np.int64), *table.shard_keys()]) for name, table in tables.tables.items()}
