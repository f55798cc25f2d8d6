"""The past of a request: the behaviours that its device knew, encoded as the device encodes them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgerec.bench.replay.timeline import LoggedBehaviour
from edgerec.device_runtime.device_model import DeviceModel
from edgerec.device_runtime.hubsm import HubsmStepper
from edgerec.device_runtime.prepared_items import ItemPreparer
from edgerec.device_runtime.raw_values import RawEncoder
from edgerec.device_runtime.relations import History
from edgerec.device_runtime.store.rows import StoredItem
from edgerec.device_runtime.windows import WindowView
from edgerec.explanation.items import LoggedItems
from edgerec.features.behaviours import BehaviourKind
from edgerec.features.recurrences import recurrence_start, window_start
from edgerec.features.relations.facts import Facts
from edgerec.features.relations.rule import ITEM_ID

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Past:
    """The behaviours of one kind that a request reads, oldest first.

    The recurrence of a window starts before the window (`edgerec.features.recurrences`). So `actions` and `items` also
    have the `before` behaviours between its start and the window. Those have no row in `view`.

    Attributes:
        logged: the t behaviours of the window.
        ordinals: (t,) int64, their numbers in their store.
        before: number of behaviours between the start of the recurrence and the window.
        stepper: the step model. None for a kind that only relations or the context read.
        actions: (before + t, d_a) float32.
        items: (before + t, d_x) float32.
        states: the state before each behaviour of the window.
        view: what the request reads.
    """

    logged: Sequence[LoggedBehaviour]
    ordinals: NDArray[np.int64]
    before: int
    stepper: HubsmStepper | None
    actions: Array
    items: Array
    states: Sequence[Array]
    view: WindowView

    def __len__(self) -> int:
        return len(self.logged)

    def without(self, left_out: Collection[int]) -> WindowView:
        """Return what the request would read if the device had never recorded some behaviours of the window.

        The recurrence makes the steps after the first of them again. The other behaviours keep their ordinals, so no
        other behaviour enters the window, and the recurrence starts where it did.

        Args:
            left_out: the indices of the behaviours, at least one.
        """
        view, history = self.view, self.view.history
        rows = np.array([row for row in range(len(self)) if row not in left_out], np.int64)
        keys, values = view.keys[rows], view.values[rows]
        first = min(left_out)
        if self.stepper is not None and len(self.states[first]):
            state = self.states[first]
            for place in range(first, len(rows)):
                at = self.before + rows[place]
                keys[place], values[place], state = self.stepper.step(self.actions[at], self.items[at], state)
        return WindowView(keys, values, view.ids[rows], History(history.facts[rows], history.time[rows]))

    def nothing(self) -> WindowView:
        """Return what a request reads of a user without behaviours of this kind."""
        view, history = self.view, self.view.history
        return WindowView(view.keys[:0], view.values[:0], view.ids[:0], History(history.facts[:0], history.time[:0]))


def read_past(
    model: DeviceModel, items: LoggedItems, kind: BehaviourKind, behaviours: Sequence[LoggedBehaviour]
) -> Past:
    """Encode the behaviours of one kind that a request knows.

    Args:
        model: the device models.
        items: the items of the logs.
        kind: the kind.
        behaviours: all behaviours of this kind in the store before the request, oldest first.

    Raises:
        SpecificationError: a feature cannot read a value.
        SessionError: a model cannot encode a behaviour.
    """
    limit, stepper = model.limits.of(kind), model.steppers.get(kind)
    ordinals = np.array(
        [index if one.ordinal is None else one.ordinal for index, one in enumerate(behaviours)], np.int64
    )
    first = window_start(int(ordinals[-1]) + 1, limit) if len(ordinals) else 0
    start, middle = np.searchsorted(ordinals, (recurrence_start(first, limit), first)).tolist()
    logged, before = list(behaviours[start:]), middle - start
    stored = _stored(model, items, kind, logged)
    features = model.spec.actions(kind)
    columns = tuple(dict.fromkeys(feature.source for feature in features))
    actions = RawEncoder(features).vectors([{name: one.action[name] for name in columns} for one in logged])
    vectors = np.array([item.vector for item in stored], np.float32).reshape(len(logged), model.items.width)
    keys, values, states = _steps(stepper, actions, vectors)
    window = stored[before:]
    empty = model.candidates.relations.empty().facts
    view = WindowView(
        keys[before:],
        values[before:],
        np.array([item.ids for item in window], np.int64).reshape(len(window), model.ranker.identities),
        History(
            Facts(
                np.concatenate([empty.keys, *(item.facts.keys for item in window)]),
                np.concatenate([empty.numbers, *(item.facts.numbers for item in window)]),
            ),
            np.array([one.time for one in logged[before:]], np.int64),
        ),
    )
    return Past(logged[before:], ordinals[middle:], before, stepper, actions, vectors, states[before:], view)


def _stored(
    model: DeviceModel, items: LoggedItems, kind: BehaviourKind, logged: Sequence[LoggedBehaviour]
) -> list[StoredItem]:
    """Return what the model reads of the items of behaviours."""
    served = {name: [one.served[name] for one in logged] for name in items.version.served_columns}
    batch = items.batch([one.item_id for one in logged], served)
    preparer = ItemPreparer(model)
    prepared = preparer.prepare(batch)
    found = []
    for row, one in enumerate(logged):
        values = {name: column[row] for name, column in batch.columns.items()} | {ITEM_ID: one.item_id}
        found.append(preparer.stored(prepared, row, kind, values, one.action))
    return found


def _steps(stepper: HubsmStepper | None, actions: Array, items: Array) -> tuple[Array, Array, list[Array]]:
    """Return keys and values of all behaviours, and the state before each of them."""
    if stepper is None:
        nothing = np.zeros((len(items), 0), np.float32)
        return nothing, nothing, [*nothing]
    keys = np.empty((len(items), stepper.key_width), np.float32)
    values = np.empty((len(items), stepper.hidden), np.float32)
    state, states = stepper.initial_state(), []
    for row, (action, item) in enumerate(zip(actions, items, strict=True)):
        states.append(state)
        keys[row], values[row], state = stepper.step(action, item, state)
    return keys, values, states
