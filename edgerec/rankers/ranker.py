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
class RankInputs:
    """All inputs that a ranker may read for a batch of requests.

    Attributes:
        candidates: (batch, candidates, candidate_width) float32: item vectors, then relations, then the context.
        numbers: (batch, candidates, numbers) float32, the raw features of the candidates and of their relations.
        candidate_length: (batch,) int32, at least 1.
        scored: (batch, scored) int32, positions of the candidates to score; the others are context.
        behaviours: the latest behaviours of each kind that the ranker reads.
    """

    candidates: Any
    numbers: Any
    candidate_length: Any
    scored: Any
    behaviours: Mapping[BehaviourKind, BehaviourWindow]


class Ranker(keras.layers.Layer):
    """Base class of the layers that score candidate lists.

    A ranker is a Keras layer. It chooses its own call arguments, so it can be used in any Keras model. The methods
    below connect it with training and export. `docs/extending.md` shows how another package adds a ranker.

    Attributes:
        layer_name: name of the layer in a model. The paths of its weights contain it.
        reads_matches: whether it reads `BehaviourWindow.match` and `age`.
    """

    layer_name = "ranker"
    reads_matches = False

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

    def device_graph(self, settings: ModelSettings) -> RankerGraph:
        """Return the trained weights for the device.

        Raises:
            ConversionError: the ranker has no device graph, or has a layer that MNN would compute wrongly.
        """
        raise ConversionError(f"layer {self.name}: there is no device graph for {type(self).__name__}")
