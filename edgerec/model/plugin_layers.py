"""Calls of rankers and encoders, which other packages may define: errors and results are checked."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import keras
import tensorflow as tf

from edgerec.core.errors import PluginError
from edgerec.core.plugins import errors_of, is_plugin
from edgerec.layers.encoder import Encoder
from edgerec.layers.settings import ModelSettings
from edgerec.rankers.ranker import Ranker

if TYPE_CHECKING:
    from edgerec.model.batches import Batch
    from edgerec.model.reranker import Reranker

Part = TypeVar("Part", Encoder, Ranker)


@contextmanager
def original_errors() -> Iterator[None]:
    """Let errors leave Keras and TensorFlow unchanged. Otherwise both remove the cause, and Keras changes the text."""
    by_keras, by_tensorflow = (
        keras.config.is_traceback_filtering_enabled(),
        tf.debugging.is_traceback_filtering_enabled(),
    )
    keras.config.disable_traceback_filtering()
    tf.debugging.disable_traceback_filtering()
    try:
        yield
    finally:
        if by_keras:
            keras.config.enable_traceback_filtering()
        if by_tensorflow:
            tf.debugging.enable_traceback_filtering()


@contextmanager
def calls(owner: type, method: str) -> Iterator[None]:
    """Run a block that calls `method` of the layer class `owner`.

    Raises:
        PluginError: the class of another package raised an error that is no `EdgeRecError`.
    """
    with original_errors(), errors_of(owner, method):
        yield


@contextmanager
def graphs_of(model: Reranker) -> Iterator[None]:
    """Run a block that runs traced functions of `model`.

    TensorFlow reports an error of an operation with the lines of source code that added the operation to the graph. If
    one of them is in the file of a ranker or an encoder of another package, the error gets its name.

    Raises:
        PluginError: an operation of a class of another package failed.
    """
    with original_errors():
        try:
            yield
        except tf.errors.ResourceExhaustedError:
            raise
        except tf.errors.OpError as error:
            for owner in filter(is_plugin, map(type, _layers(model))):
                file = inspect.getfile(owner)
                if lines := re.findall(rf'File "{re.escape(file)}", line (\d+)', error.message):
                    # The reason is the last line but for the names of operations, which start with a tab.
                    reason = [line for line in error.message.splitlines() if line[:1].strip()][-1]
                    raise PluginError(
                        f"{owner.__module__}.{owner.__qualname__} failed in a graph ({file}, line {lines[-1]}: "
                        f"{type(error).__name__}: {reason}): repair or remove its package"
                    ) from error
            raise


def create(owner: type[Part], settings: ModelSettings, **options: Any) -> Part:
    """Return ``owner.create(settings, **options)``.

    Raises:
        PluginError: the class of another package raised an error, or returned an object of another class.
    """
    with calls(owner, "create"):
        layer = owner.create(settings, **options)
    if not isinstance(layer, owner):
        raise PluginError(
            f"{owner.__module__}.{owner.__qualname__}.create should return a {owner.__qualname__}; received "
            f"{type(layer).__name__}"
        )
    return layer


def check_result(layer: keras.layers.Layer, method: str, result: Any, shape: tuple[int | None, ...], what: str) -> None:
    """Check the result of a layer's method.

    Args:
        layer: the layer.
        method: name of the method.
        result: what the method returned.
        shape: the expected shape. A dimension that is not known yet is None.
        what: describes the expected result.

    Raises:
        PluginError: the result is no float32 tensor of this shape.
    """
    if tf.is_tensor(result) and result.dtype == tf.float32 and result.shape.is_compatible_with(shape):
        return
    received = f"{result.dtype.name} {tuple(result.shape)}" if tf.is_tensor(result) else type(result).__name__
    owner = type(layer)
    raise PluginError(
        f"{owner.__module__}.{owner.__qualname__}.{method} should return {what}, a float32 tensor of shape {shape}; "
        f"received {received}"
    )


def try_model(model: Reranker, batch: Batch) -> None:
    """If a layer of `model` comes from another package, compute one batch eagerly, to find its errors early.

    Only one candidate of each request is scored. A ranker that scores all candidates has a result of another shape.

    Raises:
        PluginError: the ranker or an encoder fails, or returns something else.
    """
    if not any(is_plugin(type(layer)) for layer in _layers(model)):
        return
    inputs = keras.tree.map_structure(tf.constant, batch.inputs)
    model({**inputs, "scored": inputs["scored"][:, :1]})


def _layers(model: Reranker) -> list[Ranker | Encoder]:
    return [model.ranker, *map(model.encoder_of, model.behaviour_kinds)]
