"""Behaviours, encodings and requests for tests. All of them are functions of their arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edgerec.device_runtime.store import Behaviour, BehaviourStore, Encoding, States, StoredItem, StoredRequest
from edgerec.features.behaviours import EXPOSURE, BehaviourKind, Limits
from edgerec.features.relations.facts import Facts

LIMITS = Limits(candidates=10, exposures=4, page_views=2)
VERSION = "2025-01-01-abcdef"
START = 1_700_000_000_000


def open_store(path: Path, **settings: Any) -> BehaviourStore:
    return BehaviourStore(path, **{"user_id": 7, "limits": LIMITS, **settings})


def floats(number: int, width: int) -> Any:
    return (np.arange(width, dtype=np.float32) + np.float32(number)) / np.float32(7)


def item(number: int, version_id: str = VERSION) -> StoredItem:
    facts = Facts(np.array([[number, -number]]), np.array([[number / 2, np.nan, 1.5]]))
    return StoredItem(version_id, floats(number, 5), np.array([number, number + 1]), facts)


def behaviour(number: int, kind: BehaviourKind = EXPOSURE, **changes: Any) -> Behaviour:
    values: dict[str, Any] = {
        "time": START + 1000 * number,
        "item_id": number % 5,
        "action": {"duration_s": number / 4, "reason": "seen", "tags": None},
        "served": {"score": number / 8},
        "page_id": number // 10,
        "offered_at": START,
        "opened_from": None,
        "item": item(number),
    }
    return Behaviour(kind=kind, **{**values, **changes})


def encoding(number: int, width: int = 3) -> Encoding:
    return Encoding(floats(number, width), floats(number + 1, 2), floats(number + 2, width), floats(number + 3, 2))


def states(number: int) -> States:
    return States(floats(number, 6).reshape(2, 3), floats(number + 1, 6).reshape(2, 3))


def request(number: int, **changes: Any) -> StoredRequest:
    values: dict[str, Any] = {
        "page_id": 1,
        "time": START,
        "trigger": "page",
        "model_version": VERSION,
        "item_ids": [1, 2, 3],
        "served": {"score": [0.5, 0.25, None]},
        "context": {"device": "phone"},
        "exposures_end": 0,
        "page_views_end": 0,
        "outcome": "shadow",
        "positions": [2, 0, 1],
        "scores": [0.1, 0.2, 0.3],
        "duration_ms": 1.5,
    }
    return StoredRequest(request_id=number, **{**values, **changes})


def encode_all(store: BehaviourStore, kind: BehaviourKind = EXPOSURE, version_id: str = VERSION) -> list[int]:
    """Encode everything that is pending. Return the ordinals."""
    ordinals = [ordinal for ordinal, _ in store.pending(kind, version_id)]
    for ordinal in ordinals:
        store.write_encoding(kind, ordinal, version_id, encoding(ordinal), states(ordinal))
    return ordinals


def same(first: object, second: object) -> bool:
    """Return whether two rows are equal, with the types and bytes of their arrays."""
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        return (first.dtype, first.shape, first.tobytes()) == (second.dtype, second.shape, second.tobytes())
    if type(first) is not type(second):
        return False
    if isinstance(first, list | tuple) and isinstance(second, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    if hasattr(first, "__dataclass_fields__"):
        return all(same(getattr(first, name), getattr(second, name)) for name in first.__dataclass_fields__)
    return first == second
