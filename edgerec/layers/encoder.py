"""The base class of the layers that encode one kind of behaviour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras

from edgerec.core.errors import PluginError

if TYPE_CHECKING:
    from edgerec.graphs.ranking import EncoderGraph
    from edgerec.layers.settings import ModelSettings


class Encoder(keras.layers.Layer):
    """Base class of the layers that encode one kind of behaviour. A subclass defines all methods below.

    A subclass can be used in any Keras model. These methods connect it with training and export.

    Raises:
        PluginError: a subclass does not define the method that is called.
    """

    @classmethod
    def create(cls, settings: ModelSettings, *, name: str) -> Encoder:
        """Create the encoder for a model with these settings."""
        raise _missing(cls, "create")

    def build(self, action_shape: Any, item_shape: Any) -> None:
        """Create the weights."""
        raise _missing(type(self), "build")

    def call(self, action: Any, item: Any) -> Any:
        """Return the encodings (batch, time, 2 * units): the item encoding of each behaviour, then its action encoding.

        Args:
            action: (batch, time, action_dim), oldest behaviour first.
            item: (batch, time, item_dim).
        """
        raise _missing(type(self), "call")

    def device_weights(self) -> EncoderGraph:
        """Return the weights for device graphs."""
        raise _missing(type(self), "device_weights")


def check_methods(encoder: type[Encoder]) -> None:
    """Check that a subclass defines all methods, before the training starts.

    Raises:
        PluginError: a method is missing.
    """
    for method in ("create", "build", "call", "device_weights"):
        if getattr(encoder, method) == getattr(Encoder, method):
            raise _missing(encoder, method)


def _missing(encoder: type[Encoder], method: str) -> PluginError:
    return PluginError(f"encoder {encoder.__module__}.{encoder.__name__} should define `{method}`")
