"""What the ranker reads at a request: candidate vectors, and the windows of behaviours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgerec.device_runtime.device_model import DeviceModel
from edgerec.device_runtime.encodings import Encodings
from edgerec.device_runtime.prepared_items import PreparedItems
from edgerec.device_runtime.ranker import Scored
from edgerec.device_runtime.windows import WindowView
from edgerec.features.behaviours import BEHAVIOUR_KINDS, BehaviourKind
from edgerec.features.encoder import Values


@dataclass(frozen=True)
class RankArguments:
    """The arguments of `DeviceRanker.score` for one request.

    Attributes:
        candidates: (c, d_c) float32, the candidate vectors.
        encodings: the behaviours of each kind that the ranker reads.
        ids: (c, identities) int64, the IDs of the candidates; None for a model without exact matches.
    """

    candidates: NDArray[np.float32]
    encodings: Mapping[BehaviourKind, Encodings]
    ids: NDArray[np.int64] | None

    def score(self, model: DeviceModel) -> NDArray[np.float32]:
        """Return the logits (c,). The errors are those of `DeviceRanker.score`."""
        return self.score_cards(model).logits

    def score_cards(self, model: DeviceModel) -> Scored:
        """Return logits, and vectors for surroundings. The errors are those of `DeviceRanker.score`."""
        named = {kind.plural: one for kind, one in self.encodings.items()}
        return model.ranker.score_cards(self.candidates, **named, ids=self.ids)


def kinds_read(model: DeviceModel) -> tuple[BehaviourKind, ...]:
    """Return the kinds of behaviour that a request of this model reads.

    These are the kinds that the ranker attends to. If the specification has relations or a context, these are both
    kinds, because relations and context read both.
    """
    compares = model.candidates.width > model.items.width
    return tuple(kind for kind in BEHAVIOUR_KINDS if compares or kind in model.steppers)


def rank_arguments(
    model: DeviceModel,
    candidates: PreparedItems,
    windows: Mapping[BehaviourKind, WindowView],
    *,
    context: Values,
    time: int,
) -> RankArguments:
    """Return what the ranker reads of a request.

    Args:
        model: the device models.
        candidates: the items, at most `model.ranker.limit`.
        windows: the latest behaviours of each of `kinds_read`.
        context: raw values of the request by column. A column that is absent is missing, and others are ignored.
        time: the time of the request in milliseconds since 1970, after all behaviours.

    Raises:
        SessionError: an argument has a wrong type or shape.
        SpecificationError: a value of the context has a wrong type.
    """
    encodings = {}
    for kind, view in windows.items():
        if kind in model.steppers:
            one = Encodings(view.keys, view.values)
            encodings[kind] = replace(one, seen=view.seen(time)) if model.ranker.identities else one
    vectors = model.candidates.vectors(
        candidates.vectors,
        items=candidates.facts,
        histories={kind: view.history for kind, view in windows.items()},
        context={name: context.get(name) for name in model.candidates.context_columns},
        time=time,
    )
    return RankArguments(vectors, encodings, candidates.ids if model.ranker.identities else None)
