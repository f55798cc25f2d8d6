"""Candidate vectors on the device: item vectors, relations and the context of the request, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edgerec.device_runtime.arguments import check_time, check_vectors
from edgerec.device_runtime.relations import Array, History, RelationEncoder
from edgerec.device_runtime.row_checks import check_keys, raw_column
from edgerec.features.behaviours import BehaviourKind, Limits
from edgerec.features.context import DERIVED, RequestFacts
from edgerec.features.encoder import GroupEncoder, Values
from edgerec.features.relations.facts import Facts
from edgerec.features.spec import FeatureSpec, of_origin


class CandidateEncoder:
    """The encoder of candidates. It adds what a list and its request have to the item vectors.

    Args:
        spec: the specification.
        limits: the largest number of behaviours of each kind that the model reads.

    Attributes:
        relations: the encoder of relations.
        context_columns: the columns of the request that the context reads.
        width: the width of a candidate vector.
    """

    def __init__(self, spec: FeatureSpec, limits: Limits) -> None:
        self.relations = RelationEncoder(spec, limits)
        self._context = GroupEncoder(spec.context)
        self._sources = [feature.source for feature in spec.context]
        self._derived = tuple(dict.fromkeys(feature.source for feature in of_origin(spec.context, "derived")))
        self._given = of_origin(spec.context, "request")
        self._item_width = sum(feature.width for feature in spec.item)
        self.context_columns = tuple(dict.fromkeys(feature.source for feature in self._given))
        self._context_keys = dict.fromkeys(self.context_columns)
        self.width = self._item_width + self.relations.width + self._context.width

    def vectors(
        self,
        item_vectors: Array,
        *,
        items: Facts | Sequence[Values] = (),
        histories: Mapping[BehaviourKind, History] | None = None,
        context: Values | None = None,
        time: int | None = None,
    ) -> Array:
        """Return the candidate vectors of a request. Shape (c, width).

        Without relations and context in the specification, these are the item vectors.

        Args:
            item_vectors: (c, d_x) float32, the vectors of the items: `DeviceModel.items.vectors`.
            items: for relations, the facts of the candidates from `relations.items`, or the values of
                `relations.item_columns` of each candidate. Facts do not change, so keep them with the item vectors.
            histories: for relations and the context, the behaviours before the request, by kind.
            context: for the context, the values of `context_columns`. A missing value is None.
            time: for relations and the context, the time of the request in milliseconds since 1970.

        Raises:
            SessionError: an argument is absent, or has a wrong type or shape.
            SpecificationError: a key is unknown or absent, or a value has a wrong type.
        """
        check_vectors("item_vectors", item_vectors, self._item_width)
        if self.width == self._item_width:
            return item_vectors
        now = check_time(time)
        latest = self.relations.latest({} if histories is None else histories, time=now)
        vectors = np.zeros((len(item_vectors), self.width), np.float32)
        vectors[:, : self._item_width] = item_vectors
        start = self._item_width + self.relations.width
        if self.relations.width:
            facts = items if isinstance(items, Facts) else self.relations.items(items)
            self.relations.write(facts, latest, vectors[:, self._item_width : start], time=now)
        if self._context.width:
            vectors[:, start:] = self._context_vector(context, latest, time=now, candidates=len(item_vectors))
        return vectors

    def _context_vector(
        self, given: Values | None, latest: Mapping[BehaviourKind, History], *, time: int, candidates: int
    ) -> Array:
        """Return the vector of the context. Shape (1, width)."""
        values = {} if given is None else given
        check_keys("context", values, self._context_keys, "give a missing value as None")
        columns = {feature.source: raw_column(feature, [values[feature.source]]) for feature in self._given}
        counts = {kind: np.int64(len(history)) for kind, history in latest.items()}
        times = {kind: one.time[-1] if len(one) else np.int64(0) for kind, one in latest.items()}
        facts = RequestFacts(np.int64(time), np.int64(candidates), counts, times)
        columns |= {name: DERIVED[name](facts).reshape(1) for name in self._derived}
        vector = np.zeros((1, self._context.width), np.float32)
        self._context.vectors([columns[source] for source in self._sources], vector)
        return vector
