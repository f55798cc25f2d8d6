"""Real requests as dense vectors: what a device would have made of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from edgerec.bundle.golden import GoldenCase
from edgerec.data.samples import Behaviours, Samples, Shard
from edgerec.device_runtime.matches import UNKNOWN
from edgerec.features.behaviours import BEHAVIOUR_KINDS
from edgerec.features.encoder import Encoded, GroupEncoder
from edgerec.kv.npz import Table
from edgerec.model.batches import MS_PER_HOUR

Array = npt.NDArray[np.float32]


class DenseRequests:
    """Requests as dense vectors, made by the numpy encoder as a device would.

    Args:
        samples: where the requests are.
        tables: the embedding tables as items come with them.
        matching: also give identities and ages, for a model that matches them.
    """

    def __init__(self, samples: Samples, tables: Mapping[str, Table], *, matching: bool) -> None:
        self.matching = matching
        self.item = samples.item_encoder()
        self.actions = dict(zip(BEHAVIOUR_KINDS, samples.action_encoders(), strict=True))
        self.tables = {name: np.concatenate([table.unknown[None, :], table.values]) for name, table in tables.items()}

    def case(self, shard: Shard, row: int, logits: Array) -> GoldenCase:
        """Return the request `row` of `shard`, with its logits (c,)."""
        asked = shard.requests
        offered = slice(asked.offsets[row], asked.offsets[row + 1])
        arrays: dict[str, Any] = {}
        for kind, encoder in self.actions.items():
            # From where its recurrences start: the device, too, has stepped through what has left the window since.
            known = slice(getattr(asked, f"{kind.plural}_start")[row], getattr(asked, kind.plural)[row, 1])
            behaviours: Behaviours = getattr(shard, kind.plural)
            arrays[f"{kind.name}_action"] = self._expand(encoder, behaviours.action[known])
            arrays[f"{kind.name}_item"] = self._expand(self.item, behaviours.item[known])
            if self.matching:
                hours = (asked.time[row] - behaviours.time[known]) / MS_PER_HOUR
                arrays[f"{kind.name}_ids"] = _ids(behaviours.row[known], behaviours.item[known])
                arrays[f"{kind.name}_age"] = hours.astype(np.float32)
        if self.matching:
            arrays["candidate_ids"] = _ids(asked.row[offered], asked.item[offered])
        return GoldenCase(candidates=self._expand(self.item, asked.item[offered]), logits=logits, **arrays)

    def _expand(self, encoder: GroupEncoder, encoded: Encoded) -> Array:
        rows = {
            feature.name: self.tables[feature.name][encoded.ids[:, place]]
            for place, feature in enumerate(encoder.embeddings)
        }
        return encoder.expand(encoded, rows)


def _ids(rows: npt.NDArray[np.int32], items: Encoded) -> npt.NDArray[np.int64]:
    """Return the identities of items: the row in the catalogue, then the row in each table, of which 0 is unknown."""
    known = np.where(items.ids > 0, items.ids, UNKNOWN)
    return np.concatenate([rows[:, None], known], axis=1).astype(np.int64)
