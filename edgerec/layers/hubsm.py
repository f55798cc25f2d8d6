"""The behaviour encoder of HUBSM, Heterogeneous User Behavior Sequence Modeling (section 3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from edgerec.layers.encoder import Encoder
from edgerec.layers.gru_stack import GruStack

if TYPE_CHECKING:
    from edgerec.graphs.hubsm_step import HubsmWeights
    from edgerec.layers.settings import ModelSettings


@keras.saving.register_keras_serializable("edgerec")
class BehaviourEncoder(Encoder):
    """Encoder of one kind of behaviour: item exposures (eq. 3-5) or item page-views (eq. 6-8).

    ``p = GRU(items)``, ``a = GRU(actions)``, ``b = concat(p, a)``: one stack reads the items, the other the actions.

    Args:
        units: width of each stack.
        layers: depth of each stack.
        gain: see `GruStack`.

    Call arguments:
        action: (batch, time, action_dim).
        item: (batch, time, item_dim).

    Returns:
        (batch, time, 2 * units), the fused encodings b. The first half of each is the item encoding p.

    Example:
        >>> import numpy as np
        >>> from edgerec.layers import BehaviourEncoder
        >>> actions = np.random.normal(size=(2, 50, 6)).astype("float32")
        >>> items = np.random.normal(size=(2, 50, 12)).astype("float32")
        >>> tuple(BehaviourEncoder(units=8, layers=2)(actions, items).shape)
        (2, 50, 16)
    """

    def __init__(self, units: int = 32, layers: int = 3, *, gain: float = 2.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.layers = layers
        self.gain = gain
        self.item_stack = GruStack(units, layers, gain=gain, name="item")
        self.action_stack = GruStack(units, layers, gain=gain, name="action")

    def build(self, action_shape: Any, item_shape: Any) -> None:
        self.action_stack.build(action_shape)
        self.item_stack.build(item_shape)
        self.built = True

    def call(self, action: Any, item: Any) -> Any:
        return ops.concatenate([self.item_stack(item), self.action_stack(action)], axis=-1)

    @classmethod
    def create(cls, settings: ModelSettings, *, name: str) -> BehaviourEncoder:
        return cls(settings.units, settings.layers, gain=settings.gain, name=name)

    def device_weights(self) -> HubsmWeights:
        from edgerec.graphs.hubsm_step import HubsmWeights

        return HubsmWeights(action=self.action_stack.device_weights(), item=self.item_stack.device_weights())

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units, "layers": self.layers, "gain": self.gain}
