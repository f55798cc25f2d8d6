"""Calls of MNN without the runtime of EdgeRec, to compare MNN with other engines.

A call writes the inputs into MNN's memory, runs the model, and copies the outputs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from edgerec.bundle.golden import GoldenCase
from edgerec.device_runtime.encodings import Encodings
from edgerec.device_runtime.rank_feed import RankFeed
from edgerec.device_runtime.session import Session
from edgerec.features.behaviours import BehaviourKind

Array = npt.NDArray[np.float32]


def engine_step(session: Session, action: Array, item: Array) -> Callable[[], Any]:
    """Return a function for the benchmark. Each call encodes one behaviour and keeps the recurrent state.

    After the last behaviour it starts again with the first.

    Args:
        session: the session of a step model.
        action: action vectors of the behaviours (t, d_a).
        item: item vectors of the behaviours (t, d_x).
    """
    doing, seen, state, key, value, new_state = (
        session.view(name).reshape(-1) for name in ("action", "item", "state", "key", "value", "new_state")
    )
    behaviours = itertools.cycle(list(zip(action, item, strict=True)))
    last = np.zeros_like(state)
    run = session.execute

    def call() -> Any:
        nonlocal last
        # NumPy assigns to `[...]` 0.1 microseconds faster than to `[:]`, which is 5 % of a step for three inputs.
        doing[...], seen[...] = next(behaviours)
        state[...] = last
        run()
        last = new_state.copy()
        return key.copy(), value.copy(), last

    return call


def engine_sequence(session: Session, action: Array, item: Array) -> Callable[[], Any]:
    """Return a function for the benchmark. Each call encodes all behaviours from the start, one step after the other.

    The arguments are those of `engine_step`. A call returns the key and the value of each behaviour.
    """
    doing, seen, state, key, value, new_state = (
        session.view(name).reshape(-1) for name in ("action", "item", "state", "key", "value", "new_state")
    )
    behaviours = list(zip(action, item, strict=True))
    start, run = np.zeros_like(state), session.execute

    def call() -> Any:
        last, found = start, []
        for did, what in behaviours:
            doing[...], seen[...], state[...] = did, what, last
            run()
            last = new_state.copy()
            found.append((key.copy(), value.copy()))
        return found

    return call


def engine_rerank(
    session: Session, case: GoldenCase, encodings: Mapping[BehaviourKind, Encodings]
) -> Callable[[], Any]:
    """Return a function for the benchmark. Each call scores the candidates of `case` and returns logits (k, 1)."""
    arrays = {name: np.zeros(shape, np.float32) for name, shape in session.inputs.items()}
    RankFeed(arrays).write(case.candidates, encodings, case.candidate_ids)
    # MNN overwrites the inputs in a run, so each call writes all of them.
    writes = [(session.view(name), array) for name, array in arrays.items()]
    logits = session.view("logits")

    def call() -> Any:
        for view, array in writes:
            view[...] = array
        session.execute()
        return logits.copy()

    return call
