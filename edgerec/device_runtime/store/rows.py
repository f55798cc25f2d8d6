"""The rows of the behaviour store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgerec.features.behaviours import BehaviourKind
from edgerec.features.relations.facts import Facts
from edgerec.personalization.patch import Patch


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


@dataclass(frozen=True)
class States:
    """The states after the latest encoded behaviour.

    Attributes:
        own: (2 * depth, units) float32, the state of the recurrence of the behaviour's own segment.
        previous: the same shape, the state of the recurrence of the segment before.
    """

    own: NDArray[np.float32]
    previous: NDArray[np.float32]


@dataclass(frozen=True)
class StoredWindow:
    """The encoded behaviours of the latest window, oldest first. Ordinals with a gap have no row.

    Without rows, every array has the shape (0,) or (0, 0).

    Attributes:
        ordinals: (t,) int64.
        times: (t,) int64, milliseconds since 1970.
        own_keys, previous_keys: (t, key_width) float32, see `Encoding`.
        own_values, previous_values: (t, hidden) float32.
        ids: (t, identities) int64, see `StoredItem`.
        facts: t rows.
    """

    ordinals: NDArray[np.int64]
    times: NDArray[np.int64]
    own_keys: NDArray[np.float32]
    own_values: NDArray[np.float32]
    previous_keys: NDArray[np.float32]
    previous_values: NDArray[np.float32]
    ids: NDArray[np.int64]
    facts: Facts

    def __len__(self) -> int:
        return len(self.ordinals)


@dataclass(frozen=True)
class StoredRequest:
    """One request to re-rank, and what the device answered.

    Attributes:
        request_id: the request.
        page_id: the page that shows the candidates.
        time: milliseconds since 1970. Take it from `BehaviourStore.request_time` before the candidates are scored.
        trigger: the reason of the request.
        model_version: the model that answered; None if there is none.
        item_ids: the candidates in the order in which they were sent to the model.
        served: for each served column, a list with one value for each candidate.
        context: values of the request, by column.
        exposures_end: the next ordinal of exposures at the request. It knew all behaviours with smaller ordinals.
        page_views_end: the same for page-views.
        outcome: `reordered`, `shadow`, `collected`, or `kept: ` with a reason. In a mixed feed also `mixed`, `mixed,
            without: ` with the rules that were given up, or `reordered, not mixed: ` with a reason.
        positions: positions of the candidates in the new order; None if there is no answer. It is best first, but
            explored places may show other candidates.
        scores: the score of each candidate by the shared model; None if there is no answer.
        duration_ms: the time from the trigger to the answer; None if it was not measured.
        propensities: for each explored place, the probability with which it shows its candidate, given the candidates
            at the places before; None without exploration.
        explored_among: from how many of the best remaining candidates each explored place was drawn; None without
            exploration.
        personal: whether a patch of the user changed the scores before they gave the order; None without patches.
        phi: (c, rank) float16, what a patch reads of each candidate; None without patches. It is never sent.
    """

    request_id: int
    page_id: int
    time: int
    trigger: str
    model_version: str | None
    item_ids: Sequence[int]
    served: Mapping[str, Sequence[Any]]
    context: Mapping[str, Any]
    exposures_end: int
    page_views_end: int
    outcome: str
    positions: Sequence[int] | None = None
    scores: Sequence[float] | None = None
    duration_ms: float | None = None
    propensities: Sequence[float] | None = None
    explored_among: int | None = None
    personal: bool | None = None
    phi: NDArray[np.float16] | None = None


@dataclass(frozen=True)
class PatchState:
    """What the latest training of a patch has left.

    Attributes:
        version_id: the model version.
        patch: the patch; None: the user has the shared model.
        time: time of the training in milliseconds since 1970.
        through: the sequence number of the latest page whose events it has read.
        outcome: what happened, for people.
        rollbacks: how often a patch was given up because it was worse than the shared model on later events.
    """

    version_id: str
    patch: Patch | None
    time: int
    through: int
    outcome: str
    rollbacks: int = 0
