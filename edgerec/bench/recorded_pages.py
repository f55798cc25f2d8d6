"""A cloud in memory: pages of items that a bundle contains, so that a device can be measured without a server.

The items are the candidates of the bundle's raw golden cases, with the rows of its embedding tables. The values of
behaviours come from the same cases. Nothing is written, and logs are thrown away.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edgerec.bundle.golden import raw_case_names
from edgerec.bundle.layout import CLOUD
from edgerec.bundle.manifest_file import read_bundle_manifest
from edgerec.bundle.raw_cases import Column, RawRequest, read_raw
from edgerec.bundle.tables import open_tables
from edgerec.core.errors import EdgeRecError, FormatError
from edgerec.device_runtime.client import Client
from edgerec.device_runtime.relations import RelationEncoder
from edgerec.device_runtime.row_checks import raw_column
from edgerec.features.behaviour_values import derived_columns
from edgerec.features.behaviours import BEHAVIOUR_KINDS, EXPOSURE, PAGE_VIEW, BehaviourKind, Limits
from edgerec.features.encoder import Values
from edgerec.features.relations.rule import ITEM_ID
from edgerec.features.spec import FeatureSpec, of_origin, parse_spec
from edgerec.kv.npz import NpzTables
from edgerec.paging.items import UNKNOWN_KEY, EmbeddingColumn, ItemBatch
from edgerec.paging.log_rows import LogBatch
from edgerec.paging.page import Page, PageRequest

ITEMS = 1000
"""Number of different items. Several of them have the values of the same candidate. They come back in later pages, so
that a user sees some items again."""


class RecordedPages:
    """Implements `Transport`. An object can be pickled, for another process.

    Args:
        candidates: the items whose values the pages contain.
        served: the columns whose values hold for one page.
        context: values of the request by column.
        actions: raw values of actions by column, for each kind of behaviour. Columns that the client computes from
            earlier behaviours are not included.
    """

    def __init__(
        self,
        candidates: ItemBatch,
        *,
        served: tuple[str, ...],
        context: Values,
        actions: dict[BehaviourKind, list[dict[str, Any]]],
    ) -> None:
        self._candidates, self._served, self._context = candidates, served, context
        self._actions = actions
        self._pages = 0
        self._next = 0

    @property
    def version_id(self) -> str | None:
        """The model version whose embedding rows the pages contain."""
        return self._candidates.version_id

    def page(self, request: PageRequest) -> Page:
        """Return the next items that the device does not hold."""
        held = set(request.held)
        ids: list[int] = []
        while len(ids) < min(request.count, ITEMS - len(held)):
            item_id = self._next % ITEMS + 1
            self._next += 1
            if item_id not in held:
                ids.append(item_id)
        self._pages += 1
        return Page(self._pages, request.time, self._items(ids), served=self._served, context=self._context)

    def items(self, version_id: str | None, item_ids: Sequence[int]) -> ItemBatch:
        """Return these items, whatever version is asked for."""
        return self._items(item_ids)

    def send(self, batch: LogBatch) -> None:
        """Throw the log rows away."""

    def values(self, kind: BehaviourKind) -> Iterator[dict[str, Any]]:
        """Yield values for `Client.exposed` or `Client.left_page`, again and again."""
        return itertools.cycle(self._actions[kind] or [{}])

    def _items(self, ids: Sequence[int]) -> ItemBatch:
        wanted = np.array(ids, np.int64)
        rows = (wanted - 1) % len(self._candidates)
        columns = {name: [values[row] for row in rows] for name, values in self._candidates.columns.items()}
        embeddings = {
            name: EmbeddingColumn(column.keys, column.rows, column.index.take(rows))
            for name, column in self._candidates.embeddings.items()
        }
        return replace(self._candidates, item_id=wanted, columns=columns, embeddings=embeddings)


def load_recorded_pages(bundle: Path) -> RecordedPages:
    """Return pages of the items in the largest raw golden case of `bundle`.

    The hashes of the files are not checked here: load the bundle first.

    Raises:
        FormatError: the bundle cannot be read, or an earlier version of EdgeRec exported it without raw cases.
    """
    manifest = read_bundle_manifest(bundle)
    spec = parse_spec(json.dumps(manifest.spec), where="manifest.json")
    names = raw_case_names(manifest)
    if not names:
        raise FormatError(f"bundle: {bundle} has no golden case with raw values: export it again")
    requests = [read_raw(bundle / name) for name in names]
    request = max(requests, key=lambda one: len(next(iter(one.candidates.values()), [])))
    tables = open_tables(bundle / CLOUD, check=False)
    try:
        candidates = _candidates(request, spec, tables)
    except (KeyError, EdgeRecError) as error:
        raise FormatError(f"bundle: {names[-1]} does not fit the specification ({error}): export it again") from None
    return RecordedPages(
        candidates,
        served=tuple(dict.fromkeys(feature.source for feature in of_origin(spec.item, "served"))),
        context=request.context,
        actions={kind: _actions(request, spec, kind) for kind in BEHAVIOUR_KINDS},
    )


def record_full_windows(client: Client, pages: RecordedPages, limits: Limits) -> None:
    """Record and encode behaviours until both windows are full: every item is exposed, and every second is opened.

    Args:
        client: a client whose transport is `pages`.
        pages: the transport that returns pages of recorded items.
        limits: the largest number of behaviours of each kind that the ranker reads.
    """
    exposures, page_views = pages.values(EXPOSURE), pages.values(PAGE_VIEW)
    recorded = dict.fromkeys(BEHAVIOUR_KINDS, 0)
    while any(recorded[kind] < limits.of(kind) for kind in BEHAVIOUR_KINDS):
        client.refresh()
        client.run_pending()
        for item_id in client.order():
            client.exposed(item_id, next(exposures))
            recorded[EXPOSURE] += 1
            if recorded[EXPOSURE] % 2:
                client.clicked(item_id)
                client.left_page(item_id, next(page_views))
                recorded[PAGE_VIEW] += 1
            client.run_pending()


def _candidates(request: RawRequest, spec: FeatureSpec, tables: NpzTables) -> ItemBatch:
    """Return the candidates of a request as the cloud sends them."""
    coded = (feature.source for feature in spec.item if not feature.has_table)
    compared = (name for name in RelationEncoder(spec, Limits()).item_columns if name != ITEM_ID)
    columns = {name: request.candidates[name] for name in dict.fromkeys([*coded, *compared])}
    count = len(next(iter(request.candidates.values())))
    embeddings = {
        feature.name: _embedding(raw_column(feature, list(request.candidates[feature.source])), tables, feature.name)
        for feature in spec.embeddings
    }
    return ItemBatch(tables.version_id, np.arange(1, count + 1), columns, embeddings)


def _embedding(wanted: Any, tables: NpzTables, name: str) -> EmbeddingColumn:
    found = tables.tables[name].get_many(wanted)
    # All unknown keys share one row.
    known = np.where(found.known, wanted, UNKNOWN_KEY)
    keys, first, index = np.unique(known, return_index=True, return_inverse=True)
    return EmbeddingColumn(keys, found.rows.take(first, 0), index.reshape(-1).astype(np.int32))


def _actions(request: RawRequest, spec: FeatureSpec, kind: BehaviourKind) -> list[dict[str, Any]]:
    columns: dict[str, Column] = request.of(kind).action
    given = [name for name in columns if name not in derived_columns(kind, spec.actions(kind))]
    return [dict(zip(given, row, strict=True)) for row in zip(*(columns[name] for name in given), strict=True)]
