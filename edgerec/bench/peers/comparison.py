"""Comparison of the outputs of implementations, before anything is timed.

Latencies can only be compared if all implementations compute the same function on the same inputs. MNN's outputs are
compared with those of the trained model, and the outputs of a peer with those of MNN, of the reference graphs or of the
trained model. A function here raises a `ParityError` if an output differs. A peer with such an error is listed as
failed and is not timed. The other peers are measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from edgerec.core.errors import ParityError, PluginError
from edgerec.core.tolerance import Tolerance, absolute_difference

Array = npt.NDArray[np.float32]
Expected = Mapping[str, tuple[str, Array]]
"""For each output, by its name in error texts: the implementation that computed it, and the array."""

PEER_TOLERANCE = {"fp32": 1e-3, "fp16": 1e-2, "int8": 0.3}
"""Tolerance for the outputs of steps and sequences, by precision of the bundle. It is relative for numbers above 1.
Over full sequences, rounding errors of float32 are far below 1e-3. Those of 16-bit weights are about 3e-3, and those of
8-bit weights are below 0.1. If a difference is larger than the tolerance, the peer computes another function."""
LOGITS_TOLERANCE = Tolerance(1e-3, 1e-3)
"""Tolerance for the logits of peers. Their weights are never rounded."""


def run_steps(call: Callable[[], Any], count: int) -> dict[str, Array]:
    """Run a step once on each of `count` behaviours. Return `keys`, `values` and `states`, each (count, ...)."""
    # Copy each output at once, because an engine may write the next output to the same memory.
    steps = [[np.array(part, np.float32).ravel() for part in call()] for _ in range(count)]
    parts = zip(*steps, strict=True)
    return {name: np.array(part) for name, part in zip(("keys", "values", "states"), parts, strict=True)}


def run_sequence(call: Callable[[], Any], length: int) -> dict[str, Array]:
    """Run an encoder once over `length` behaviours, from the start. Return `keys` and `values`, each (length, ...)."""
    keys, values = (np.array(part, np.float32).reshape(length, -1) for part in call())
    return {"keys": keys, "values": values}


def run_rerank(call: Callable[[], Any]) -> Array:
    """Run a re-rank once. Return the logits (k,)."""
    return np.array(call(), np.float32).ravel()


def check_outputs(stage: str, name: str, outputs: Mapping[str, Array], expected: Expected, tolerance: float) -> None:
    """Check the outputs of a step or of a sequence.

    Args:
        stage: the model, for the error text.
        name: the implementation that computed `outputs`.
        outputs: the outputs by name.
        expected: what they should be.
        tolerance: see `PEER_TOLERANCE`.

    Raises:
        ParityError: an output has another shape, or differs by more than `tolerance`.
    """
    for what, (by, ours) in expected.items():
        theirs = outputs[what]
        # Keys are exponentials and may be large, so errors are relative for numbers above 1.
        same = ours.shape == theirs.shape
        error = float((np.abs(theirs - ours) / np.maximum(np.abs(ours), 1.0)).max()) if same else np.inf
        if not error <= tolerance:
            raise ParityError(
                f"bench: {what} of {stage} by {name} differ from those by {by} by {error:.2g}, more than "
                f"{tolerance:g}. It computes another function: export the bundle again"
            )


def check_logits(name: str, logits: Array, expected: Array, tolerance: Tolerance) -> None:
    """Check the logits of a re-rank against those of the trained model.

    Args:
        name: the implementation that computed `logits`.
        logits: its logits, (k,) with padding after the candidates, or (c,).
        expected: the logits (c,) of the trained model.
        tolerance: the allowed difference.

    Raises:
        ParityError: there are too few logits, or one differs by more than `tolerance`.
    """
    found = logits[: len(expected)]
    if len(found) != len(expected):
        raise ParityError(
            f"bench: {name} should return {len(expected)} scores; received {len(found)}: export the bundle again"
        )
    at = tolerance.worst_index(found, expected)
    if at is not None:
        raise ParityError(
            f"bench: scores of {name} differ from those of the trained model by "
            f"{absolute_difference(found, expected)[at]:.2g}, more than {tolerance.allowed(expected)[at]:.2g}. "
            "It computes another function: export the bundle again"
        )


def check_names(calls: Mapping[str, Any], others: Mapping[str, Any]) -> None:
    """Check that no call of a peer has the name of another implementation, which it would replace.

    Raises:
        PluginError: a name is in use.
    """
    for name in calls:
        if name in others:
            raise PluginError(f"another implementation has the name {name!r}: give the peer's implementation another")
