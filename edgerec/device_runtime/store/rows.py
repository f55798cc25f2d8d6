"""The rows of the behaviour store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgerec.features.behaviours import BehaviourKind
from edgerec.features.relations.facts import Facts


@dataclass(frozen=True)
class StoredItem:
    """What one model version reads of the item of a behaviour.

    Attributes:
        version_id: the model version.
        vector: (d_x,) float32, the item's vector.
        ids: (identities,) int64, the item's IDs for exact matches (`SeenItems`).
        facts: one row, what relations read of the behaviour.
    """

    version_id: str
    vector: NDArray[np.float32]
    ids: NDArray[np.int64]
    facts: Facts


@dataclass(frozen=True)
class Behaviour:
    """One behaviour with its raw values.

    Attributes:
        kind: the kind of behaviour.
        time: when it was complete, in milliseconds since 1970.
        item_id: the item.
        action: raw values of the action by source column, as they are logged and encoded. A missing value is None.
        served: raw values of the item by served column, as the page offered them. Empty if no page offered the item.
        page_id: the page that offered the item; None if none did.
        offered_at: the time of that page.
        opened_from: for page-views: `feed` or `search`.
        item: what the model reads of the item; None if it is not known yet, or if there is no model.
    """

    kind: BehaviourKind
    time: int
    item_id: int
    action: Mapping[str, Any]
    served: Mapping[str, Any] = field(default_factory=dict)
    page_id: int | None = None
    offered_at: int | None = None
    opened_from: str | None = None
    item: StoredItem | None = None


@dataclass(frozen=True)
class Encoding:
    """Key and value of one behaviour in both recurrences that a window can need.

    A window of `limit` behaviours lies in one or two segments of `limit` ordinals (`edgerec.features.recurrences`). If
    it begins in the segment of this behaviour, it reads the `own` recurrence, which started with that segment. If it
    begins in the segment before, it reads the `previous` recurrence, which started one segment earlier.

    Attributes:
        own_key, previous_key: (key_width,) float32.
        own_value, previous_value: (hidden,) float32.
    """

    own_key: NDArray[np.float32]
    own_value: NDArray[np.float32]
    previous_key: NDArray[np.float32]
    previous_value: NDArray[np.float32]
