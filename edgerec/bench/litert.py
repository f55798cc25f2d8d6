"""A peer: LiteRT on the step models of a bundle."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edgerec.core.errors import FormatError, first_line

Array = npt.NDArray[np.float32]

LITERT = "litert"


def litert_step(path: Path, action: Array, item: Array) -> Callable[[], Any]:
    """Return a call that encodes the next behaviour in a cycle and keeps the state.

    LiteRT uses one thread and its default kernels (XNNPACK). The outputs are the key and the fused encoding of the
    paper's equations.

    Args:
        path: the LiteRT model from `edgerec.export.peers`.
        action: action vectors (t, d_a).
        item: item vectors (t, d_x).

    Raises:
        FormatError: LiteRT cannot read the model, or the model has other inputs.
    """
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(str(path), num_threads=1)
        interpreter.allocate_tensors()
        inputs = {detail["name"]: detail for detail in interpreter.get_input_details()}
        doing, seen, before = (inputs[name]["index"] for name in ("action", "item", "state"))
        key, fused, after = (detail["index"] for detail in interpreter.get_output_details())
    except (ValueError, RuntimeError, KeyError) as error:
        reason = first_line(error)
        raise FormatError(f"bench: {path} cannot be run by LiteRT ({reason}): export the bundle again") from None
    behaviours = itertools.cycle(list(zip(action[:, None, None], item[:, None, None], strict=True)))
    state = np.zeros(inputs["state"]["shape"], np.float32)
    write, read, run = interpreter.set_tensor, interpreter.get_tensor, interpreter.invoke

    def call() -> Any:
        nonlocal state
        did, what = next(behaviours)
        write(doing, did)
        write(seen, what)
        write(before, state)
        run()
        state = read(after)
        return read(key), read(fused), state

    return call
