"""A kernel in two forms: as a plain TensorFlow function, and compiled by XLA for each shape of input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import tensorflow as tf

Kernels = Literal["keras", "plain", "xla"]
"""What computes recurrences and attention: the layers of Keras, or the functions of this package, which are either
plain TensorFlow functions or compiled by XLA. All give the same results, except for rounding."""


def kernels_here(*, xla: bool) -> Kernels:
    """Return the fastest kernels on this machine. `xla` says whether compiling for each shape of input pays off."""
    # On a GPU, Keras uses cuDNN.
    return "keras" if tf.config.list_physical_devices("GPU") else "xla" if xla else "plain"


class Kernel:
    """A function of tensors that TensorFlow traces once, and XLA compiles if the caller asks for it.

    Args:
        function: the function.
        signature: shapes and types of its arguments.
    """

    def __init__(self, function: Callable[..., Any], signature: tuple[Any, ...]) -> None:
        self._forms = {
            xla: tf.function(function, input_signature=signature, jit_compile=xla or None, autograph=False)
            for xla in (False, True)
        }

    @staticmethod
    def of(*signature: Any) -> Callable[[Callable[..., Any]], Kernel]:
        """Return a decorator that makes a `Kernel` of a function."""
        return lambda function: Kernel(function, signature)

    def __call__(self, *arguments: Any, xla: bool) -> Any:
        return self._forms[xla](*arguments)
