"""Recording of behaviours: the times, the values that follow from earlier behaviours, and the transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from sys import float_info
from typing import Any

import numpy as np

from edgerec.core.errors import SpecificationError
from edgerec.device_runtime.offered_page import OfferedPage
from edgerec.device_runtime.raw_values import RawEncoder
from edgerec.device_runtime.serving import ModelServing
from edgerec.device_runtime.store.behaviour_store import BehaviourStore
from edgerec.device_runtime.store.rows import Behaviour
from edgerec.features.behaviour_values import EarlierBehaviours, derived_columns
from edgerec.features.behaviours import BEHAVIOUR_KINDS, BehaviourKind
from edgerec.features.spec import FeatureSpec
from edgerec.mixing.prices import KindState

_LATEST = 256
"""How many behaviours are read at the start to find the latest two instants of a kind."""


class Recorder:
    """Records behaviours in the store and hands them to Model Serving.

    Args:
        store: the user's behaviours.
        serving: Model Serving; None without a model.
        spec: the specification, whose action columns are the known ones. None: any column is recorded as it is.
        clock: returns milliseconds since 1970.

    Attributes:
        next_version: takes each recorded behaviour, too, with its ordinal; None if no other version is prepared.
    """

    def __init__(
        self,
        store: BehaviourStore,
        serving: ModelServing | None,
        spec: FeatureSpec | None,
        clock: Callable[[], int],
    ) -> None:
        self._store, self._clock = store, clock
        self.next_version: Callable[[int, Behaviour], None] | None = None
        self.read_times()
        self.use(serving, spec)

    def use(self, serving: ModelServing | None, spec: FeatureSpec | None) -> None:
        """Record for this model and specification from now on."""
        self._serving = serving
        self._columns = {
            kind: None if spec is None else dict.fromkeys(feature.source for feature in spec.actions(kind))
            for kind in BEHAVIOUR_KINDS
        }
        self._derived = {
            kind: {} if spec is None else derived_columns(kind, spec.actions(kind)) for kind in BEHAVIOUR_KINDS
        }
        self._actions = {kind: RawEncoder(spec.actions(kind)) for kind in BEHAVIOUR_KINDS} if spec else {}

    def read_times(self) -> None:
        """Read the times of the latest behaviours from the store."""
        self._earlier = {kind: _earlier(self._store, kind) for kind in BEHAVIOUR_KINDS}

    def time(self) -> int:
        """Return the time of an event now. It is not before the latest behaviour, request or click."""
        return max(self._clock(), self._store.last_time)

    def request_time(self) -> int:
        """Return the time of a request now. It is after all behaviours, because a request knows what is earlier."""
        return self._store.request_time(self._clock())

    def values(
        self, kind: BehaviourKind, item_id: int, time: int, given: Mapping[str, Any], partial: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the values of a behaviour by column. A missing value is None.

        Args:
            kind: the kind of behaviour.
            item_id: the item.
            time: the time of the behaviour.
            given: values of the application. They come before all others.
            partial: values that were reported earlier. Columns that the specification does not read are left out.

        Raises:
            SpecificationError: `given` is not a mapping, or the specification does not read one of its columns.
        """
        known = self._columns[kind]
        if not isinstance(given, Mapping):
            raise SpecificationError(
                f"values of {kind.plural} should be a mapping, such as a dict; received {type(given).__name__}"
            )
        given = {name: _plain(value) for name, value in given.items()}
        if known is None:
            return {**partial, **given}
        check_columns(kind, given, known)
        values: dict[str, Any] = dict.fromkeys(known)
        for name, rule in self._derived[kind].items():
            if name not in given:
                values[name] = rule(self._earlier, item_id, time)
        values.update((name, value) for name, value in partial.items() if name in known)
        return {**values, **given}

    def checked_value(self, kind: BehaviourKind, column: str, value: Any) -> Any:
        """Return a value of an action; a number of NumPy becomes a number of Python.

        Raises:
            SpecificationError: the specification does not read this column, or a feature cannot read the value.
        """
        value, known = _plain(value), self._columns[kind]
        if known is not None:
            check_columns(kind, (column,), known)
            self._actions[kind].vector({**dict.fromkeys(known), column: value})
        return value

    def record(
        self,
        kind: BehaviourKind,
        time: int,
        item_id: int,
        values: Mapping[str, Any],
        *,
        place: tuple[OfferedPage, int] | None = None,
        served: Mapping[str, Any] | None = None,
        opened_from: str | None = None,
        ordinal: int | None = None,
        mixing: Mapping[str, KindState] | None = None,
    ) -> None:
        """Record a behaviour. When this returns, it is durable against the death of the process.

        Args:
            kind: the kind of behaviour.
            time: `time()`.
            item_id: the item.
            values: the result of `values`.
            place: the page that offered the item, and the item's row on it.
            served: served values, if they are not those of the page.
            opened_from: for page-views, `feed` or `search`.
            ordinal: the ordinal; None for the next one.
            mixing: the state of mixing after the behaviour, which is recorded with it; None: it stays.

        Raises:
            SpecificationError: a feature cannot read a value. Then nothing is recorded.
            StoreError: the store cannot be written.
        """
        serving, item = self._serving, None
        page, row = (None, 0) if place is None else place
        # This also checks the values, before they are recorded.
        action = self._actions[kind].vector(values) if self._actions else None
        prepared = None if page is None or served is not None else page.prepared
        # A page that arrived before a switch has the vectors of the version before. Then the item is fetched anew.
        if serving and page and prepared is not None and prepared.version_id == serving.model.version_id:
            item = serving.items.stored(prepared, row, kind, page.values(row), values)
        behaviour = Behaviour(
            kind=kind,
            time=time,
            item_id=item_id,
            action=values,
            served=dict(served or {}) if page is None or served is not None else page.served_values(row),
            page_id=None if page is None else page.page_id,
            # It is later than `time` only if the clock was set back meanwhile.
            offered_at=None if page is None else min(page.offered_at[row], time),
            opened_from=opened_from,
            item=item,
        )
        number = self._store.record(behaviour, ordinal=ordinal, mixing=mixing)
        self._earlier[kind].add(item_id, time)
        if serving is not None:
            serving.add(number, behaviour, action)
        if self.next_version is not None:
            self.next_version(number, behaviour)


def finite(name: str, value: Any) -> float:
    """Return a finite number as a float.

    Raises:
        SpecificationError: the value is no number, or not finite.
    """
    if isinstance(value, (int, float, np.integer, np.floating)) and abs(value) <= float_info.max:
        return float(value)
    raise SpecificationError(f"`{name}` should be a finite number; received {value!r:.80}")


def check_columns(kind: BehaviourKind, given: Iterable[str], known: Mapping[str, Any]) -> None:
    """Raise SpecificationError if a column is not known."""
    unknown = [name for name in given if name not in known]
    if unknown:
        raise SpecificationError(
            f"values of {kind.plural}: unknown column {unknown[0]!r:.80}; the specification reads "
            f"{', '.join(known)}: leave the others out"
        )


def _plain(value: Any) -> Any:
    """Return a number of NumPy as a number of Python, and any other value as it is."""
    return value.item() if isinstance(value, np.generic) else value


def _earlier(store: BehaviourStore, kind: BehaviourKind) -> EarlierBehaviours:
    latest = [(one.time, one.item_id) for _, one in store.latest(kind, _LATEST)]
    return EarlierBehaviours(store.item_counts(kind), latest)
