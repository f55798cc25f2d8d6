"""Real requests as dense vectors, encoded as a device encodes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from edgerec.bundle.golden import GoldenCase
from edgerec.data.samples import Requests, Samples, Shard
from edgerec.device_runtime.matches import UNKNOWN
from edgerec.features.behaviours import BEHAVIOUR_KINDS, BehaviourKind
from edgerec.features.encoder import Encoded, GroupEncoder
from edgerec.kv.npz import Table
from edgerec.model.batches import MS_PER_HOUR

Array = npt.NDArray[np.float32]


class DenseRequests:
    """An encoder that turns requests of samples into dense vectors. It uses the NumPy encoder, as a device does.

    Args:
        samples: the samples with the requests.
        tables: the embedding tables from which the items' embeddings come.
        matching: also return IDs and ages, for a model that reads exact matches.
    """

    def __init__(self, samples: Samples, tables: Mapping[str, Table], *, matching: bool) -> None:
        self.matching = matching
        spec = samples.head.spec
        self.item = samples.item_encoder()
        self.relations, self.context = (GroupEncoder(group) for group in (spec.relations, spec.context))
        self.actions = {kind: samples.action_encoder(kind) for kind in BEHAVIOUR_KINDS}
        self.tables = {name: np.concatenate([table.unknown[None, :], table.values]) for name, table in tables.items()}

    def case(self, shard: Shard, row: int, logits: Array) -> GoldenCase:
        """Return the request at index `row` of `shard` as a case. `logits` has the shape (c,)."""
        requests = shard.requests
        candidates = slice(requests.offsets[row], requests.offsets[row + 1])
        arrays: dict[str, Any] = {}
        for kind, encoder in self.actions.items():
            # The slice starts where the recurrence starts, and not where the window starts. The device has also made a
            # step for each behaviour that is no longer in the window.
            past = slice(requests.start(kind)[row], requests.known(kind)[row, 1])
            behaviours = shard.behaviours(kind)
            arrays[f"{kind.name}_action"] = self._expand(encoder, behaviours.action[past])
            arrays[f"{kind.name}_item"] = self._expand(self.item, behaviours.item[past])
            if self.matching:
                hours = (requests.time[row] - behaviours.time[past]) / MS_PER_HOUR
                arrays[f"{kind.name}_ids"] = identities(behaviours.row[past], behaviours.item[past])
                arrays[f"{kind.name}_age"] = hours.astype(np.float32)
        if self.matching:
            arrays["candidate_ids"] = identities(requests.row[candidates], requests.item[candidates])
        return GoldenCase(candidates=self._candidates(requests, row), logits=logits, **arrays)

    def windows(self, shard: Shard, row: int) -> dict[BehaviourKind, int]:
        """Return how many behaviours of each kind are in the window of the request at index `row` of `shard`."""
        known = {kind: shard.requests.known(kind)[row] for kind in BEHAVIOUR_KINDS}
        return {kind: int(end - begin) for kind, (begin, end) in known.items()}

    def _candidates(self, requests: Requests, row: int) -> Array:
        """Return the candidate vectors of a request: item vectors, then relations, then the context."""
        candidates = slice(requests.offsets[row], requests.offsets[row + 1])
        items = self._expand(self.item, requests.item[candidates])
        relations = self.relations.expand(requests.relations[candidates])
        context = self.context.expand(requests.context[row : row + 1])
        return np.concatenate([items, relations, np.repeat(context, len(items), axis=0)], axis=1)

    def _expand(self, encoder: GroupEncoder, encoded: Encoded) -> Array:
        rows = {
            feature.name: self.tables[feature.name][encoded.ids[:, column]]
            for column, feature in enumerate(encoder.embeddings)
        }
        return encoder.expand(encoded, rows)


def identities(rows: npt.NDArray[np.int32], items: Encoded) -> npt.NDArray[np.int64]:
    """Return the IDs of items. The first column is the row in the catalogue, and each other column the row in a table.

    Row 0 of a table is for unknown keys. It becomes `UNKNOWN`.
    """
    known = np.where(items.ids > 0, items.ids, UNKNOWN)
    return np.concatenate([rows[:, None], known], axis=1).astype(np.int64)
