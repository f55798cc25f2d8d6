"""Relations on the device: what a client stores of a behaviour, and the vectors of the relations at a request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgerec.core.errors import SessionError, SpecificationError
from edgerec.device_runtime.arguments import check_count, check_time, is_plain, received
from edgerec.device_runtime.row_checks import check_keys, to_numbers
from edgerec.features.behaviours import BEHAVIOUR_KINDS, BehaviourKind, Limits
from edgerec.features.encoder import GroupEncoder, Values
from edgerec.features.relations.compute import Relations
from edgerec.features.relations.facts import Facts, keys_of
from edgerec.features.relations.known import PastBehaviours
from edgerec.features.relations.rule import number_columns, same_columns
from edgerec.features.spec import FeatureSpec

Array = npt.NDArray[np.float32]

_INT64, _FLOAT64 = np.dtype(np.int64), np.dtype(np.float64)
_KINDS = frozenset(BEHAVIOUR_KINDS)
_ZERO = np.zeros(1, np.int64)
_NONE = "give a missing value as None"


@dataclass(frozen=True)
class History:
    """What relations and the context read of a user's behaviours of one kind, oldest first.

    Attributes:
        facts: the facts of t behaviours, as `RelationEncoder.behaviour` returns them.
        time: (t,) int64, the time of each behaviour in milliseconds since 1970.
    """

    facts: Facts
    time: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.time)

    def append(self, facts: Facts, time: int) -> History:
        """Return the history with one more behaviour, the latest one. `facts` has one row."""
        keys = np.concatenate([self.facts.keys, facts.keys])
        numbers = np.concatenate([self.facts.numbers, facts.numbers])
        return History(Facts(keys, numbers), np.append(self.time, np.int64(time)))

    def latest(self, count: int) -> History:
        """Return the last `count` behaviours, or all if there are fewer.

        Raises:
            SessionError: `count` is negative or not a whole number.
        """
        check_count("count", count)
        start = max(len(self) - int(count), 0)
        return History(self.facts[start:], self.time[start:])


class RelationEncoder:
    """The encoder of the relations of a specification.

    Args:
        spec: the specification.
        limits: the largest number of behaviours of each kind that relations read.

    Attributes:
        width: the length of a vector.
        item_columns: the columns of an item that relations read, as in the logs.
        action_columns: the columns of an action that relations read, by kind of behaviour.
    """

    def __init__(self, spec: FeatureSpec, limits: Limits) -> None:
        rules = tuple(spec.rules.values())
        self._relations = Relations(rules)
        sources = list(spec.rules)
        self._source_of = np.array([sources.index(feature.source) for feature in spec.relations], np.int64)
        self._keys, self._numbers = same_columns(rules), number_columns(rules)
        self._encoder = GroupEncoder(spec.relations)
        self._limits = {kind: limits.of(kind) for kind in BEHAVIOUR_KINDS}
        self.width = self._encoder.width
        actions = [(rule.kind, rule.column) for rule in rules if spec.column_origin(rule) == "action"]
        of_actions = {column for _, column in actions}
        columns = (name for name in (*self._keys, *self._numbers) if name not in of_actions)
        self.item_columns = tuple(dict.fromkeys(columns))
        self.action_columns = {
            kind: tuple(name for name in self._numbers if (kind, name) in actions) for kind in BEHAVIOUR_KINDS
        }

    def empty(self) -> History:
        """Return the history of a user without behaviours."""
        facts = Facts(np.zeros((0, len(self._keys)), np.int64), np.zeros((0, len(self._numbers))))
        return History(facts, np.zeros(0, np.int64))

    def items(self, rows: Sequence[Values]) -> Facts:
        """Return the facts of n items. The keys of each row are exactly `item_columns`. A missing value is None.

        Raises:
            SpecificationError: `rows` is not a list, a row has other keys, or a value has a wrong type.
        """
        if not isinstance(rows, Sequence):
            raise SpecificationError(f"relations: expected a list of rows; received {type(rows).__name__}")
        wanted = dict.fromkeys(self.item_columns)
        for index, row in enumerate(rows):
            check_keys(f"relations: values of row {index}", row, wanted, _NONE)
        return self._facts(rows)

    def behaviour(self, kind: BehaviourKind, item: Values, action: Values) -> Facts:
        """Return the facts of one behaviour, with one row. Store them with its key and value.

        Args:
            kind: the kind of behaviour.
            item: the values of `item_columns`.
            action: the values of the action. Columns that no relation reads are ignored.

        Raises:
            SpecificationError: a key is absent, or a value has a wrong type.
        """
        check_keys("relations: values of the item", item, dict.fromkeys(self.item_columns), _NONE)
        wanted = self.action_columns[kind]
        given = {name: action[name] for name in wanted if name in action}
        check_keys("relations: values of the action", given, dict.fromkeys(wanted), _NONE)
        return self._facts([{**item, **given}])

    def _facts(self, rows: Sequence[Values]) -> Facts:
        keys = np.empty((len(rows), len(self._keys)), np.int64)
        for index, name in enumerate(self._keys):
            keys[:, index] = keys_of(row[name] for row in rows)
        numbers = np.empty((len(rows), len(self._numbers)))
        for index, name in enumerate(self._numbers):
            numbers[:, index] = to_numbers(name, [row.get(name) for row in rows])
        return Facts(keys, numbers)

    def vectors(self, items: Facts, histories: Mapping[BehaviourKind, History], *, time: int) -> Array:
        """Return the vectors of the relations of c candidates. Shape (c, width).

        Args:
            items: the facts of the candidates, from `items`.
            histories: the behaviours before the request, by kind. A kind that is absent has none.
            time: the time of the request in milliseconds since 1970.

        Raises:
            SessionError: an argument has a wrong type or shape.
        """
        self._check("items", items)
        vectors = np.zeros((len(items), self.width), np.float32)
        self.write(items, self.latest(histories, time=time), vectors, time=time)
        return vectors

    def write(self, items: Facts, latest: Mapping[BehaviourKind, History], out: Array, *, time: int) -> None:
        """Write the vectors of the relations of c candidates.

        Args:
            items: the facts of the candidates.
            latest: the result of the method `latest`.
            out: (c, width), the array to write to. It contains zeros.
            time: the time of the request in milliseconds since 1970.

        Raises:
            SessionError: `items` has a wrong type or shape, or another number of rows than `out`.
        """
        self._check("items", items)
        if len(items) != len(out):
            raise SessionError(
                f"`items` should have as many rows as `item_vectors`. Received: {len(items)} and {len(out)}"
            )
        if not self.width:
            return
        past = {kind: PastBehaviours(one.facts, one.time, _ZERO, np.array([len(one)])) for kind, one in latest.items()}
        request = np.zeros(len(items), np.int64)
        values = self._relations.compute(items, request, past, np.array([time], np.int64))
        self._encoder.vectors(values.take(self._source_of, axis=0), out)

    def latest(self, histories: Mapping[BehaviourKind, History], *, time: int) -> dict[BehaviourKind, History]:
        """Return the behaviours of each kind that the model reads: the latest ones, at most as many as the limit.

        Raises:
            SessionError: `time` is not a whole number; `histories` is not a mapping, or has a key that is no kind of
                behaviour; or a history has a wrong type or shape, is not in order of time, or has a behaviour after
                `time`.
        """
        time = check_time(time)
        if not isinstance(histories, Mapping) or not histories.keys() <= _KINDS:
            keys = list(histories) if isinstance(histories, Mapping) else type(histories).__name__
            raise SessionError(
                "`histories` should be a mapping with the keys EXPOSURE and PAGE_VIEW of edgerec.features.behaviours. "
                f"Received: {keys!r:.80}"
            )
        return {kind: self._latest(kind, histories.get(kind), time) for kind in BEHAVIOUR_KINDS}

    def _latest(self, kind: BehaviourKind, history: History | None, time: int) -> History:
        if history is None:
            return self.empty()
        name = f"histories of {kind.plural}"
        if not isinstance(history, History):
            raise SessionError(f"`{name}` should be a History. Received: {type(history).__name__}")
        self._check(name, history.facts)
        times = history.time
        if not is_plain(times) or times.dtype != _INT64 or times.shape != (len(history.facts),):
            raise SessionError(
                f"`time` of `{name}` should be int64 of shape {(len(history.facts),)}. Received: {received(times)}"
            )
        if len(times) and (times[-1] > time or np.count_nonzero(times[1:] < times[:-1])):
            raise SessionError(
                f"`time` of `{name}` should ascend to at most the time of the request, {time}. Received: "
                f"{times[0]} to {times[-1]}"
            )
        limit = self._limits[kind]
        return history if len(times) <= limit else history.latest(limit)

    def _check(self, name: str, facts: object) -> None:
        if isinstance(facts, Facts) and is_plain(facts.keys) and is_plain(facts.numbers):
            count, types = facts.keys.shape[:1], (facts.keys.dtype, facts.numbers.dtype)
            shapes = (*count, len(self._keys)), (*count, len(self._numbers))
            if (facts.keys.shape, facts.numbers.shape) == shapes and types == (_INT64, _FLOAT64):
                return
        raise SessionError(f"`{name}` should be facts of this model's RelationEncoder. Received: {received(facts)}")
