"""MNN alone: inputs written into its memory, one run, outputs copied out; what peers are compared with."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from edgerec.device_runtime.crban import Encodings
from edgerec.device_runtime.matches import Ids, matches
from edgerec.device_runtime.session import Session

Array = npt.NDArray[np.float32]


def engine_step(session: Session, action: Array, item: Array) -> Callable[[], Any]:
    """A call that encodes the next of the behaviours (t, d_a), (t, d_x), over and over, state carried on."""
    doing, seen, state, key, value, new_state = (
        session.view(name).reshape(-1) for name in ("action", "item", "state", "key", "value", "new_state")
    )
    behaviours = itertools.cycle(list(zip(action, item, strict=True)))
    last = np.zeros_like(state)
    run = session.execute

    def call() -> Any:
        nonlocal last
        doing[:], seen[:] = next(behaviours)
        state[:] = last
        run()
        last = new_state.copy()
        return key.copy(), value.copy(), last

    return call


def engine_rerank(
    session: Session,
    candidates: Array,
    exposures: Encodings | None,
    page_views: Encodings | None,
    ids: Ids | None = None,
) -> Callable[[], Any]:
    """A call that scores candidates (k, d_x) after full sequences of behaviours; logits (k, 1)."""
    last = np.zeros((1, len(candidates)), np.float32)
    last[0, -1] = 1.0
    feed = {"candidates": candidates[:, None], "last": last, "valid": np.ones((len(candidates), 1), np.float32)}
    for kind, encodings in (("exposure", exposures), ("page_view", page_views)):
        if encodings is None:
            continue
        mask = np.ones((len(encodings.keys), 1), np.float32)
        feed |= {f"{kind}_keys": encodings.keys, f"{kind}_values": encodings.values, f"{kind}_mask": mask}
        if ids is not None and encodings.met is not None:
            feed[f"{kind}_match"] = matches(ids, encodings.met.ids).astype(np.float32)
            feed[f"{kind}_age"] = encodings.met.age[None]
    # A run overwrites its inputs, so all of them are written each time.
    writes = [(session.view(name), array) for name, array in feed.items() if name in session.inputs]
    logits = session.view("logits")

    def call() -> Any:
        for view, array in writes:
            view[...] = array
        session.execute()
        return logits.copy()

    return call
