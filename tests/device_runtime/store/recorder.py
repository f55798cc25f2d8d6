"""Record and encode behaviours of both kinds in a store. `test_kills.py` runs this file and kills it.

    python -m tests.device_runtime.store.recorder STORE COUNT

Every value is a function of the behaviour's number and, for encodings, of the states before it. So two stores have
equal rows if nothing was lost, repeated or encoded from a wrong state. After `record` has returned, the number of the
behaviour is written to standard output.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from edgerec.device_runtime.store import Behaviour, BehaviourStore, Encoding, States
from edgerec.features.behaviours import BEHAVIOUR_KINDS, EXPOSURE, PAGE_VIEW, BehaviourKind
from tests.device_runtime.store.example_rows import LIMITS, VERSION, behaviour, floats, open_store, request

ZERO = np.zeros((2, 3), np.float32)


def kind_of(number: int) -> BehaviourKind:
    return PAGE_VIEW if number % 5 == 4 else EXPOSURE


def ordinal_of(number: int) -> int:
    return number // 5 if number % 5 == 4 else number - number // 5


def numbers(count: int) -> dict[BehaviourKind, list[int]]:
    """Return the numbers of the behaviours of each kind."""
    return {kind: [number for number in range(count) if kind_of(number) == kind] for kind in BEHAVIOUR_KINDS}


def step(state: np.ndarray, one: Behaviour, ordinal: int) -> np.ndarray:
    """Return the next state. It depends on everything before."""
    return (state * np.float32(0.75) + floats(one.item_id + ordinal, 6).reshape(2, 3)).astype(np.float32)


def encode(store: BehaviourStore, kind: BehaviourKind) -> None:
    """Encode what is pending, in the two recurrences."""
    limit = LIMITS.of(kind)
    for ordinal, one in store.pending(kind, VERSION):
        segment, before = ordinal // limit, store.encoded_through(kind, VERSION) // limit
        states = store.states(kind, VERSION) or States(ZERO, ZERO)
        own = states.own if before == segment else ZERO
        previous = {segment: states.previous, segment - 1: states.own}.get(before, ZERO)
        own, previous = step(own, one, ordinal), step(previous, one, ordinal)
        store.write_encoding(kind, ordinal, VERSION, encoding_of(own, previous), States(own, previous))


def unbroken(kind: BehaviourKind, ordinal: int, segments_before: int) -> np.ndarray:
    """Return the state after a behaviour, of the recurrence of its own segment (0) or of the one before (1)."""
    limit = LIMITS.of(kind)
    state = ZERO
    for each in range(max(ordinal // limit - segments_before, 0) * limit, ordinal + 1):
        number = each * 5 + 4 if kind == PAGE_VIEW else each // 4 * 5 + each % 4
        state = step(state, behaviour(number, kind), each)
    return state


def encoding_of(own: np.ndarray, previous: np.ndarray) -> Encoding:
    return Encoding(own[0].copy(), own[1, :2].copy(), previous[0].copy(), previous[1, :2].copy())


def record_all(store: BehaviourStore, count: int, report: Callable[[int], object] = int) -> None:
    """Record and encode the behaviours that the store does not have yet. Also write requests and end pages."""
    for kind in BEHAVIOUR_KINDS:
        encode(store, kind)
    for number in range(sum(store.next_ordinal(kind) for kind in BEHAVIOUR_KINDS), count):
        kind = kind_of(number)
        store.record(behaviour(number, kind))
        report(number)
        encode(store, kind)
        if number % 10 == 9:
            store.record_request(request(number, page_id=number // 10))
            store.end_page(number // 10)


if __name__ == "__main__":
    with open_store(Path(sys.argv[1])) as opened:
        record_all(opened, int(sys.argv[2]), lambda number: os.write(1, b"%d\n" % number))
