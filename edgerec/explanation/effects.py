"""What each behaviour did to the scores: exact differences between scores with and without it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgerec.device_runtime.device_model import DeviceModel
from edgerec.device_runtime.prepared_items import PreparedItems
from edgerec.device_runtime.scoring import RankArguments, rank_arguments
from edgerec.device_runtime.windows import WindowView
from edgerec.explanation.past import Past
from edgerec.features.behaviours import BehaviourKind
from edgerec.features.encoder import Values

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Situation:
    """One request as the device knew it.

    Attributes:
        model: the device models.
        candidates: c items in the order in which they were sent to the model.
        past: the behaviours of each kind that the model reads.
        context: raw values of the request by column.
        time: milliseconds since 1970.
    """

    model: DeviceModel
    candidates: PreparedItems
    past: Mapping[BehaviourKind, Past]
    context: Values
    time: int

    def arguments(self, changed: Mapping[BehaviourKind, WindowView] | None = None) -> RankArguments:
        """Return what the ranker reads. `changed` replaces the windows of some kinds."""
        windows = {kind: past.view for kind, past in self.past.items()} | dict(changed or {})
        return rank_arguments(self.model, self.candidates, windows, context=self.context, time=self.time)

    def score(self, changed: Mapping[BehaviourKind, WindowView] | None = None) -> Floats:
        """Return the logits (c,). `changed` replaces the windows of some kinds.

        Raises:
            SessionError: the models cannot read the request.
        """
        return self.arguments(changed).score(self.model).astype(np.float64)

    def score_without(self, kinds: Mapping[BehaviourKind, Past]) -> Floats:
        """Return the logits (c,) for a user who has no behaviours of these kinds."""
        return self.score({kind: past.nothing() for kind, past in kinds.items()})

    def score_without_group(self, group: Iterable[tuple[BehaviourKind, int]]) -> Floats:
        """Return the logits (c,) without several behaviours. Each is a kind and an index in its window."""
        of_kind: dict[BehaviourKind, set[int]] = {}
        for kind, index in group:
            of_kind.setdefault(kind, set()).add(index)
        return self.score({kind: self.past[kind].without(rows) for kind, rows in of_kind.items()})


@dataclass(frozen=True)
class Effects:
    """Scores of c candidates with and without behaviours.

    Attributes:
        logits: (c,), with all behaviours: the scores of the device.
        without: for each kind, (t, c): row j has the logits without the behaviour j of the window.
        without_kind: for each kind, (c,) without any behaviour of this kind.
        without_all: (c,), for a user without behaviours.
    """

    logits: Floats
    without: Mapping[BehaviourKind, Floats]
    without_kind: Mapping[BehaviourKind, Floats]
    without_all: Floats


def effects_of(situation: Situation) -> Effects:
    """Score the request with all behaviours, without each single one, and without all of a kind.

    Nothing is approximated: every score is a run of the device models. The errors are those of `Situation.score`.
    """
    logits = situation.score()
    without = {}
    for kind, past in situation.past.items():
        rows = [situation.score({kind: past.without([index])}) for index in range(len(past))]
        without[kind] = np.array(rows).reshape(len(past), len(logits))
    return Effects(
        logits,
        without,
        {kind: situation.score_without({kind: past}) for kind, past in situation.past.items()},
        situation.score_without(situation.past),
    )
