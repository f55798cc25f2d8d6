"""The behaviour store of a device: behaviours, their encodings and the rows that are not sent yet, in SQLite."""

from edgerec.device_runtime.store.behaviour_store import BehaviourStore
from edgerec.device_runtime.store.retention import Retention
from edgerec.device_runtime.store.rows import (
    Behaviour,
    Encoding,
    States,
    StoredItem,
    StoredRequest,
    StoredWindow,
)

__all__ = [
    "Behaviour",
    "BehaviourStore",
    "Encoding",
    "Retention",
    "States",
    "StoredItem",
    "StoredRequest",
    "StoredWindow",
]
