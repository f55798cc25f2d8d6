"""Random requests as raw values, and the vectors that training's encoder makes of them.

The values go the way of logs into samples: `encode_series` encodes the columns of tables, and `request_values` computes
relations and the derived context.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from edgerec.bundle.golden import GoldenCase
from edgerec.bundle.raw_cases import RawRequest
from edgerec.core.console import log
from edgerec.core.errors import EdgeRecError, SpecificationError
from edgerec.data.columns import encode_series
from edgerec.data.known import Instants
from edgerec.data.relation_facts import catalogue_facts, row_facts
from edgerec.data.request_values import UserBehaviours, request_values
from edgerec.data.schema import ITEM_ID
from edgerec.export.dense_requests import identities
from edgerec.export.random_cases import with_keras
from edgerec.export.random_values import random_series
from edgerec.features.behaviours import BEHAVIOUR_KINDS
from edgerec.features.encoded import Encoded
from edgerec.features.encoder import GroupEncoder, encode_column
from edgerec.features.kinds import Feature
from edgerec.features.relations.rule import number_columns, same_columns
from edgerec.features.spec import of_origin
from edgerec.kv.npz import Table
from edgerec.model.batches import MS_PER_HOUR
from edgerec.model.runs import Run

Array = npt.NDArray[np.float32]
RawCase = tuple[RawRequest, GoldenCase]

ITEMS = 30
"""Number of items in the random catalogue. It is small, so that a candidate was often seen before."""
NOW = 1_700_000_000_000
SECOND, DAY = 1000, 24 * 3_600_000


def raw_requests(run: Run, tables: Mapping[str, Table], *, seed: int = 0, hidden: bool = False) -> list[RawCase]:
    """Return random requests without behaviours, with few, and with the maximum lengths. Their logits are Keras'.

    The result is empty if a feature cannot read the random values. This may happen with a relation that does not read
    every number.

    Args:
        run: the run.
        tables: the embedding tables with the rows that a server returns.
        seed: the seed of the random numbers.
        hidden: whether the requests also have Keras' hidden layer.
    """
    limits = run.head.limits
    most = limits.model_dump()
    lengths = [
        dict.fromkeys(most, 0) | {"candidates": 1},
        {name: min(3, length) for name, length in most.items()},
        most,
    ]
    try:
        maker = _RequestMaker(run, tables, np.random.default_rng(seed))
        made = [maker.request(**each) for each in lengths]
    except EdgeRecError as error:
        log(f"random values cannot be encoded ({error}), so the bundle gets no golden cases that start from raw values")
        return []
    cases = with_keras(run.model, [case for _, case in made], limits, hidden=hidden)
    return [(raw, case) for (raw, _), case in zip(made, cases, strict=True)]


class _RequestMaker:
    """Makes random requests of one user with a random catalogue."""

    def __init__(self, run: Run, tables: Mapping[str, Table], rng: np.random.Generator) -> None:
        self._spec, self._limits, self._rng = run.head.spec, run.head.limits, rng
        self._vocabularies = run.vocabularies
        self._matching = run.model.ranker.reads_matches
        self._rows = {name: np.concatenate([table.unknown[None], table.values]) for name, table in tables.items()}
        keys = {name: table.keys for name, table in tables.items()}
        self._random = partial(random_series, rng=rng, keys=keys)
        self._items = self._catalogue()
        self._facts = catalogue_facts(self._items, self._spec)

    def _catalogue(self) -> pl.DataFrame:
        spec, rules = self._spec, self._spec.rules.values()
        features = _by_source(of_origin(spec.item, "catalogue"))
        same = [name for name in same_columns(rules) if name != ITEM_ID]
        read = {rule.column for rule in rules if spec.column_origin(rule) == "catalogue"} - {None}
        ids = self._random(ITEM_ID, features.pop(ITEM_ID, []), ITEMS, whole=True).drop_nulls().unique().sort()
        if not len(ids):
            raise SpecificationError(f"no random value of column {ITEM_ID!r} can be encoded")
        columns = dict.fromkeys([*features, *same, *(name for name in number_columns(rules) if name in read)])
        columns.pop(ITEM_ID, None)
        series = []
        for name in columns:
            # Relations compare values, so some items should have the same one.
            how: dict[str, Any] = {"whole": True, "different": 4} if name in same else {}
            series.append(self._random(name, features.get(name, []), len(ids), **how))
        return pl.DataFrame([ids, *series])

    def request(self, *, candidates: int, exposures: int, page_views: int) -> RawCase:
        """Return a random request with these lengths, and zeros in place of logits."""
        spec, lengths = self._spec, {"exposures": exposures, "page_views": page_views}
        raw: dict[str, Any] = {"format": 1, "time": NOW}
        arrays: dict[str, Any] = {}
        behaviours = {}
        for kind in BEHAVIOUR_KINDS:
            count = lengths[kind.plural]
            items, table = self._draw(count, spec.actions(kind))
            # Ages from a second to days, so that rules with windows of any length choose some behaviours.
            ages = np.exp(self._rng.uniform(np.log(SECOND), np.log(3 * DAY), count)).astype(np.int64)
            time = NOW - np.sort(ages)[::-1]
            encoded = self._encode_items(items, table)
            instants = Instants(np.zeros(count, np.int64), time)
            behaviours[kind] = UserBehaviours(instants, row_facts(table, items, self._facts, spec))
            action = {feature.source: table[feature.source].to_list() for feature in spec.actions(kind)}
            raw[kind.plural] = {"time": time.tolist(), "item": self._raw_items(items, table), "action": action}
            arrays[f"{kind.name}_item"] = self._expand_items(encoded)
            arrays[f"{kind.name}_action"] = _expand(
                spec.actions(kind), [encode_series(one, table[one.source]) for one in spec.actions(kind)], count
            )
            if self._matching:
                arrays[f"{kind.name}_ids"] = identities(items, encoded)
                arrays[f"{kind.name}_age"] = ((NOW - time) / MS_PER_HOUR).astype(np.float32)
        items, table = self._draw(candidates, ())
        given = _by_source(of_origin(spec.context, "request"))
        context = pl.DataFrame([self._random(name, features, 1) for name, features in given.items()])
        encoded = self._encode_items(items, table)
        if self._matching:
            arrays["candidate_ids"] = identities(items, encoded)
        values = request_values(
            spec,
            self._limits,
            Instants(np.zeros(1, np.int64), np.array([NOW])),
            np.array([candidates]),
            row_facts(table, items, self._facts, spec),
            behaviours,
        )
        relations = [encode_column(one, values.relations[one.source]) for one in spec.relations]
        of_context = [
            encode_column(one, values.context[one.source])
            if one.origin == "derived"
            else encode_series(one, context[one.source])
            for one in spec.context
        ]
        vectors = [
            self._expand_items(encoded),
            _expand(spec.relations, relations, candidates),
            np.repeat(_expand(spec.context, of_context, 1), candidates, axis=0),
        ]
        raw["candidates"] = self._raw_items(items, table)
        raw["context"] = {name: context[name][0] for name in given}
        case = GoldenCase(candidates=np.concatenate(vectors, axis=1), logits=np.zeros(candidates, np.float32), **arrays)
        return RawRequest.model_validate(raw), case

    def _draw(self, count: int, actions: Sequence[Feature]) -> tuple[npt.NDArray[np.int32], pl.DataFrame]:
        """Return random rows of the catalogue, and a table with the served columns and those of actions."""
        items = self._rng.integers(0, len(self._items), count).astype(np.int32)
        columns = _by_source((*actions, *of_origin(self._spec.item, "served")))
        of_actions = {feature.source for feature in actions}
        # A served column that is also in the catalogue has the same values, as an item has only one value in a column.
        series = [
            self._items[name][items.tolist()] if name in self._items.columns and name not in of_actions
            else self._random(name, features, count)
            for name, features in columns.items()
        ]  # fmt: skip
        return items, pl.DataFrame(series)

    def _raw_items(self, items: npt.NDArray[np.int32], table: pl.DataFrame) -> dict[str, list[Any]]:
        served = {feature.source for feature in of_origin(self._spec.item, "served")}
        columns = {name: self._items[name][items.tolist()].to_list() for name in self._items.columns}
        return columns | {name: table[name].to_list() for name in sorted(served)}

    def _encode_items(self, items: npt.NDArray[np.int32], table: pl.DataFrame) -> Encoded:
        columns = []
        for feature in self._spec.item:
            catalogue = feature.origin == "catalogue"
            series = self._items[feature.source][items.tolist()] if catalogue else table[feature.source]
            columns.append(encode_series(feature, series, self._vocabularies.get(feature.name)))
        return Encoded.of_columns(self._spec.item, columns, len(items))

    def _expand_items(self, encoded: Encoded) -> Array:
        encoder = GroupEncoder(self._spec.item, self._vocabularies)
        rows = {
            feature.name: self._rows[feature.name][encoded.ids[:, column]]
            for column, feature in enumerate(encoder.embeddings)
        }
        return encoder.expand(encoded, rows)


def _by_source(features: Iterable[Feature]) -> dict[str, list[Feature]]:
    """Return the features that read each column."""
    found: dict[str, list[Feature]] = {}
    for feature in features:
        found.setdefault(feature.source, []).append(feature)
    return found


def _expand(features: Sequence[Feature], columns: Sequence[npt.NDArray[Any]], count: int) -> Array:
    return GroupEncoder(features).expand(Encoded.of_columns(features, columns, count))
