"""The base class of rankers, and the inputs that a ranker may read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras

from edgerec.core.errors import ConversionError, PluginError
from edgerec.features.behaviours import BehaviourKind
from edgerec.layers.settings import ModelSettings

if TYPE_CHECKING:
    from edgerec.graphs.ranking import RankerGraph
    from edgerec.mixing.head import SurroundingsHead


@dataclass(frozen=True)
class BehaviourWindow:
    """The latest behaviours of one kind that happened before each request.

    Attributes:
        fused: (batch, time, 2 * units) float32, the behaviours' encodings: item encoding, then action encoding.
        length: (batch,) int32, number of valid behaviours.
        match: (batch, identities, candidates, time) float32, 1 if candidate and behaviour have the same ID, else 0.
            None if the ranker does not read matches.
        age: (batch, time) float32, hours from each behaviour to the request. None if the ranker does not read matches.
    """

    fused: Any
    length: Any
    match: Any = None
    age: Any = None


@dataclass(frozen=True)
class ShownKinds:
    """The kinds of the cards of each list, and of the cards that the user saw before it. Kinds are codes.

    Attributes:
        codes: (batch, candidates) int32, the kind of each candidate; 0 if it is not listed.
        seen: (batch, SPAN) int32, the kinds of the latest cards that the user saw in this session, the newest one last;
            -1 where there is none.
        seen_count: (batch,) int32, number of cards that the user saw in this session.
    """

    codes: Any
    seen: Any
    seen_count: Any


@dataclass(frozen=True)
class RankInputs:
    """All inputs that a ranker may read for a batch of requests.

    Attributes:
        candidates: (batch, candidates, candidate_width) float32: item vectors, then relations, then the context.
        numbers: (batch, candidates, numbers) float32, the raw features of the candidates and of their relations.
        candidate_length: (batch,) int32, at least 1.
        scored: (batch, scored) int32, positions of the candidates to score; the others are context.
        behaviours: the latest behaviours of each kind that the ranker reads.
        shown: the kinds of cards. None if the ranker does not read them, and for requests without an order, such as
            those of the parity check.
    """

    candidates: Any
    numbers: Any
    candidate_length: Any
    scored: Any
    behaviours: Mapping[BehaviourKind, BehaviourWindow]
    shown: ShownKinds | None = None


class Ranker(keras.layers.Layer):
    """Base class of the layers that score candidate lists.

    A ranker is a Keras layer. It chooses its own call arguments, so it can be used in any Keras model. The methods
    below connect it with training and export. `docs/extending.md` shows how another package adds a ranker.

    Attributes:
        layer_name: name of the layer in a model. The paths of its weights contain it.
        reads_matches: whether it reads `BehaviourWindow.match` and `age`.
        reads_kinds: whether it reads `RankInputs.shown`.
    """

    layer_name = "ranker"
    reads_matches = False
    reads_kinds = False

    @classmethod
    def create(cls, settings: ModelSettings, *, name: str) -> Ranker:
        """Create the ranker for a model with these settings. Each ranker defines this method.

        Raises:
            PluginError: the ranker does not define this method.
        """
        raise PluginError(f"ranker {cls.__module__}.{cls.__name__} should define `create`")

    def build_for(self, settings: ModelSettings) -> None:
        """Create the weights. By default this calls `build` with the shape of the candidates."""
        self.build((None, None, settings.candidate_width))

    def rank(self, inputs: RankInputs) -> Any:
        """Return logits (batch, scored) float32. They have no meaning at positions beyond a list's length.

        Each ranker defines this method.

        Raises:
            PluginError: the ranker does not define this method.
        """
        raise PluginError(f"ranker {type(self).__module__}.{type(self).__name__} should define `rank`")

    def hidden_and_logits(self, inputs: RankInputs) -> tuple[Any, Any]:
        """Return what the output layer reads, (batch, scored, width) float32, and the logits of `rank`.

        A user's patch reads the former. By default there is none. A ranker that defines this method also defines
        `RankerGraph.hidden_width` and the output `hidden` of its device graph.

        Raises:
            ConversionError: the ranker does not define this method.
        """
        raise ConversionError(
            f"layer {self.name}: {type(self).__name__} has no hidden layer for patches: it should define "
            "`hidden_and_logits` (docs/extending.md)"
        )

    def rank_shown(self, inputs: RankInputs, *, training: bool = False) -> Any:
        """Return logits (batch, scored) given that the candidates are shown in the order of the list.

        Training compares these logits with the clicks. By default they are those of `rank`. A ranker overrides this
        method if the cards around a card change its click rate.

        Args:
            inputs: the lists in the order shown.
            training: whether the logits are for a training step.
        """
        return self.rank(inputs)

    def reseed(self, seed: int) -> None:
        """Set the seed of everything that is random in training. By default nothing is."""

    def surroundings(self, settings: ModelSettings) -> SurroundingsHead | None:
        """Return the trained tables from which a device computes `rank_shown`; by default there are none."""
        return None

    def device_graph(self, settings: ModelSettings) -> RankerGraph:
        """Return the trained weights for the device.

        Raises:
            ConversionError: the ranker has no device graph, or has a layer that MNN would compute wrongly.
        """
        raise ConversionError(f"layer {self.name}: there is no device graph for {type(self).__name__}")
