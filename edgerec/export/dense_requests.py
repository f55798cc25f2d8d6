"""Real requests as dense vectors: what a device would have made of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from edgerec.bundle.golden import GoldenCase
from edgerec.data.samples import Samples, Shard
from edgerec.device_runtime.matches import UNKNOWN
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
        self.actions = samples.action_encoders()
        self.tables = {name: np.concatenate([table.unknown[None, :], table.values]) for name, table in tables.items()}

    def case(self, shard: Shard, row: int, logits: Array) -> GoldenCase:
        """The request `row` of `shard`, with its logits (c,)."""
        asked = shard.requests
        # From where its recurrences start: the device, too, has stepped through what has left the window since.
        exposed = slice(asked.exposures_start[row], asked.exposures[row, 1])
        viewed = slice(asked.page_views_start[row], asked.page_views[row, 1])
        return GoldenCase(
            exposure_action=self._expand(self.actions[0], shard.exposures.action[exposed]),
            exposure_item=self._expand(self.item, shard.exposures.item[exposed]),
            page_view_action=self._expand(self.actions[1], shard.page_views.action[viewed]),
            page_view_item=self._expand(self.item, shard.page_views.item[viewed]),
            candidates=self._expand(self.item, asked.item[asked.offsets[row] : asked.offsets[row + 1]]),
            logits=logits,
            **(self._met(shard, row, exposed, viewed) if self.matching else {}),
        )

    def _met(self, shard: Shard, row: int, exposed: slice, viewed: slice) -> dict[str, Any]:
        """Identities and ages: the item's place in the catalogue, and rows of tables, of which the first is unknown."""
        asked = shard.requests
        offered = slice(asked.offsets[row], asked.offsets[row + 1])
        found: dict[str, Any] = {"candidate_ids": _ids(asked.row[offered], asked.item[offered])}
        for name, behaviours, part in (
            ("exposure", shard.exposures, exposed),
            ("page_view", shard.page_views, viewed),
        ):
            found[f"{name}_ids"] = _ids(behaviours.row[part], behaviours.item[part])
            hours = (asked.time[row] - behaviours.time[part]) / MS_PER_HOUR
            found[f"{name}_age"] = hours.astype(np.float32)
        return found

    def _expand(self, encoder: GroupEncoder, encoded: Encoded) -> Array:
        rows = {
            feature.name: self.tables[feature.name][encoded.ids[:, place]]
            for place, feature in enumerate(encoder.embeddings)
        }
        return encoder.expand(encoded, rows)


def _ids(rows: npt.NDArray[np.int32], items: Encoded) -> npt.NDArray[np.int64]:
    known = np.where(items.ids > 0, items.ids, UNKNOWN)
    return np.concatenate([rows[:, None], known], axis=1).astype(np.int64)
