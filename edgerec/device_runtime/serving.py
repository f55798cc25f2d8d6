"""Model Serving (section 2.2.2): encodes behaviours in the order in which they were recorded, and ranks candidates.

Encoding is apart from recording and from ranking. `add` takes a recorded behaviour, `encode_next` encodes the oldest
one, and `score` refuses to rank until all are encoded. So a ranking reads every behaviour that was recorded before it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgerec.core.errors import SessionError, SpecificationError
from edgerec.device_runtime.device_model import DeviceModel
from edgerec.device_runtime.encoding_store import EncodingStore
from edgerec.device_runtime.prepared_items import ItemPreparer, PreparedItems
from edgerec.device_runtime.ranker import Scored
from edgerec.device_runtime.raw_values import RawEncoder
from edgerec.device_runtime.recurrent_states import TwoRecurrences
from edgerec.device_runtime.scoring import kinds_read, rank_arguments
from edgerec.device_runtime.store.rows import Behaviour, StoredItem
from edgerec.device_runtime.windows import Window
from edgerec.features.behaviours import BehaviourKind
from edgerec.features.encoder import Values
from edgerec.features.recurrences import recurrence_start, window_start
from edgerec.features.relations.facts import Facts
from edgerec.paging.items import ItemBatch


def _any_item(model: DeviceModel) -> StoredItem:
    """Return an item of zeros, which has the widths of all items of the model."""
    facts = model.candidates.relations.empty().facts
    facts = Facts(np.zeros((1, facts.keys.shape[1]), np.int64), np.zeros((1, facts.numbers.shape[1])))
    vector, ids = np.zeros(model.items.width, np.float32), np.zeros(model.ranker.identities, np.int64)
    return StoredItem(model.version_id, vector, ids, facts)


@dataclass
class _Waiting:
    """A recorded behaviour that is not encoded yet.

    Attributes:
        ordinal: its ordinal.
        behaviour: the behaviour.
        item: its item; None until the cloud has sent it.
        action: the vector of its action; None if it is still to be made.
    """

    ordinal: int
    behaviour: Behaviour
    item: StoredItem | None
    action: NDArray[np.float32] | None = None


def _usable(behaviour: Behaviour, version_id: str) -> StoredItem | None:
    """Return the item of a behaviour; None if it has none, or one of another model version."""
    item = behaviour.item
    return item if item is not None and item.version_id == version_id else None


class _Kind:
    """One kind of behaviour: its window, its recurrences, and the behaviours that wait."""

    def __init__(self, model: DeviceModel, store: EncodingStore, kind: BehaviourKind) -> None:
        version_id, limit = model.version_id, model.limits.of(kind)
        self._limit = limit
        features, stepper = model.spec.actions(kind), model.steppers.get(kind)
        self.kind, self._actions = kind, RawEncoder(features)
        self._columns = tuple(dict.fromkeys(feature.source for feature in features))
        states, through = store.states(kind, version_id), store.encoded_through(kind, version_id)
        self.recurrences = TwoRecurrences(stepper, limit, states, through)
        self.window = Window(limit, self.recurrences.zeros(), _any_item(model), store.window(kind, version_id, limit))
        self.waiting = deque(
            _Waiting(ordinal, behaviour, _usable(behaviour, version_id))
            for ordinal, behaviour in store.pending(kind, version_id)
        )

    def bound_waiting(self, end: int) -> None:
        """Drop waiting behaviours that no later window reads, as a restarted process does. `end`: the next ordinal."""
        if len(self.waiting) > 2 * self._limit:
            start = recurrence_start(window_start(end, self._limit), self._limit)
            while self.waiting[0].ordinal < start:
                self.waiting.popleft()

    def action(self, values: Values) -> NDArray[np.float32]:
        """Return the vector of an action. A column without a value is missing."""
        return self._actions.vector({name: values.get(name) for name in self._columns})

    @property
    def next_item(self) -> StoredItem | None:
        """The item of the oldest waiting behaviour. None if no behaviour waits, or if its item is not here yet."""
        return self.waiting[0].item if self.waiting else None

    def encode_next(self, item: StoredItem, store: EncodingStore, version_id: str) -> None:
        """Encode the oldest waiting behaviour. `item` is its item.

        If a feature cannot read a value of its action, it is left out.
        """
        first = self.waiting[0]
        ordinal = first.ordinal
        try:
            action = self.action(first.behaviour.action) if first.action is None else first.action
        except SpecificationError:
            self.waiting.popleft()
            raise
        encoding, states = self.recurrences.step(ordinal, action, item.vector)
        store.write_encoding(self.kind, ordinal, version_id, encoding, states)
        self.recurrences.commit(ordinal, states)
        self.window.append(ordinal, first.behaviour.time, encoding, item)
        self.waiting.popleft()


class ModelServing:
    """Encodes behaviours and ranks candidates with one model version.

    The kinds of behaviour that are encoded are those of `edgerec.device_runtime.scoring.kinds_read`.

    Args:
        model: the device models.
        store: the user's behaviours, and the place for their encodings. Behaviours that have no encoding of this
            version are encoded anew.

    Attributes:
        model: the device models.
        items: makes what the model reads of items.
    """

    def __init__(self, model: DeviceModel, store: EncodingStore) -> None:
        self.model, self._store = model, store
        self.items = ItemPreparer(model)
        self.reload()

    def reload(self) -> None:
        """Read windows and waiting behaviours from the store, as a new process does."""
        self._kinds = {kind: _Kind(self.model, self._store, kind) for kind in kinds_read(self.model)}

    def keep_in(self, store: EncodingStore) -> None:
        """Write encodings to another store from now on. It has all that this object has encoded."""
        self._store = store

    def add(self, ordinal: int, behaviour: Behaviour, action: NDArray[np.float32] | None) -> None:
        """Take a behaviour that was just recorded under this ordinal. `action` is its vector, or None."""
        kind = self._kinds.get(behaviour.kind)
        if kind is not None:
            kind.waiting.append(_Waiting(ordinal, behaviour, _usable(behaviour, self.model.version_id), action))
            kind.bound_waiting(ordinal + 1)

    def encode_next(self) -> bool:
        """Encode one behaviour and store the result. Return whether there was one that can be encoded.

        Raises:
            SpecificationError: a feature cannot read a value that was recorded without a model. The behaviour is left
                out.
            SessionError, StoreError: the behaviour cannot be encoded or stored. It waits on.
        """
        for kind in self._kinds.values():
            item = kind.next_item
            if item is not None:
                kind.encode_next(item, self._store, self.model.version_id)
                return True
        return False

    @property
    def has_work(self) -> bool:
        """Whether `encode_next` has something to do."""
        return any(kind.next_item is not None for kind in self._kinds.values())

    @property
    def waiting(self) -> int:
        """Number of behaviours that are not encoded."""
        return sum(len(kind.waiting) for kind in self._kinds.values())

    def unknown_items(self, most: int) -> list[int]:
        """Return at most `most` IDs of items that the cloud has to send before their behaviours can be encoded."""
        found = (one.behaviour.item_id for kind in self._kinds.values() for one in kind.waiting if one.item is None)
        return list(dict.fromkeys(found))[:most]

    def supply(self, batch: ItemBatch) -> None:
        """Take items that `unknown_items` named.

        Raises:
            TransportError: the batch has no embedding rows of this model version.
            SpecificationError: the batch lacks a column or an embedding, or a value has a wrong type.
        """
        sent = set(batch.item_id.tolist())
        for kind in self._kinds.values():
            waiting = [one for one in kind.waiting if one.item is None and one.behaviour.item_id in sent]
            if not waiting:
                continue
            found = self.items.stored_of(batch, [one.behaviour for one in waiting])
            for one, item in zip(waiting, found, strict=True):
                self._store.set_item(kind.kind, one.ordinal, item)
                one.item = item

    def leave_out(self, item_id: int) -> int:
        """Never encode the behaviours that wait for an item. Return their number.

        The recurrences step over them, as over behaviours that are missing. The cloud drops their log rows, too, so
        training does not know them either.
        """
        count = 0
        for kind in self._kinds.values():
            kept = [one for one in kind.waiting if one.item is not None or one.behaviour.item_id != item_id]
            count += len(kind.waiting) - len(kept)
            kind.waiting = deque(kept)
        return count

    def blocked(self) -> str | None:
        """Return why candidates cannot be ranked now, or None if they can."""
        waiting = self.waiting
        if not waiting:
            return None
        unknown = len(self.unknown_items(waiting))
        if unknown:
            return f"{waiting} behaviours are not encoded: {unknown} items are not here yet"
        return f"{waiting} behaviours are not encoded"

    def score(self, candidates: PreparedItems, *, context: Values, time: int) -> NDArray[np.float32]:
        """Return the logits (c,) of candidates in their present order.

        Args:
            candidates: the items, at most `model.ranker.limit`.
            context: raw values of the request by column. A column that is absent is missing, and other columns are
                ignored.
            time: the time of the request in milliseconds since 1970, after all behaviours.

        Raises:
            SessionError: behaviours are not encoded yet, the models cannot read the candidates, or these were prepared
                for another model version.
            SpecificationError: a value of the context has a wrong type.
        """
        return self.score_cards(candidates, context=context, time=time).logits

    def score_cards(self, candidates: PreparedItems, *, context: Values, time: int) -> Scored:
        """Return the logits of candidates, and the vectors from which surroundings are computed.

        The arguments and errors are those of `score`.
        """
        reason = self.blocked()
        if reason is not None:
            raise SessionError(f"cannot rank: {reason}")
        if candidates.version_id != self.model.version_id:
            raise SessionError(
                f"cannot rank: the candidates were prepared for model version {candidates.version_id}, but the device "
                f"has version {self.model.version_id}"
            )
        windows = {name: kind.window.read() for name, kind in self._kinds.items()}
        return rank_arguments(self.model, candidates, windows, context=context, time=time).score_cards(self.model)


def best_first(logits: NDArray[np.float32]) -> Sequence[int]:
    """Return the positions of candidates, best one first. Candidates with equal logits keep their order."""
    positions: list[int] = np.argsort(-logits, kind="stable").tolist()
    return positions
