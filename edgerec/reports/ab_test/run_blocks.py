"""The blocks about the simulation itself: settings of the buckets, time, and the world."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgerec.core.text import counted
from edgerec.reports.block import Block, Table
from edgerec.reports.cells import number, percent, text
from edgerec.reports.uplift import NOT_MEASURED

_PARTS = {
    "user": "simulated user",
    "device": "device: client, store and models",
    "cloud": "cloud: recall, initial ranking and pages",
    "rest": "rest: new stores and clients, and files",
}


def settings(document: Mapping[str, Any]) -> Block:
    """Return the block with the model and the settings of each bucket. Equal settings are listed once."""
    found = {name: bucket.get("settings") or {} for name, bucket in document["buckets"].items()}
    given = [each for each in found.values() if each]
    same = {
        key: value
        for key, value in (given[0] if given else {}).items()
        if len(given) > 1 and all(key in each and each[key] == value for each in given)
    }
    rows = []
    for name, bucket in document["buckets"].items():
        own = {key: value for key, value in found[name].items() if key not in same}
        rows.append((name, bucket.get("version_id") or "no model", _assignments(own) or "-"))
    note = f"The same in all buckets that have settings: {_assignments(same)}." if same else ""
    table = Table(("bucket", "version ID of the model", "settings"), rows, texts=3)
    return Block("settings", "Settings of the buckets", note, table, prose=True)


def _assignments(values: Mapping[str, Any]) -> str:
    return "; ".join(
        f"{key} = {f'{value:g}' if isinstance(value, float) else text(value)}" for key, value in values.items()
    )


def time(document: Mapping[str, Any]) -> Block:
    """Return the block that says where the time of the simulation goes."""
    sessions = document["sessions"]
    found = document.get("time") or {}
    total = sum(value for value in found.values() if value is not None)
    rows = [
        (
            _PARTS.get(key, key),
            NOT_MEASURED if value is None else number(value),
            NOT_MEASURED if value is None or not total else percent(value / total),
            NOT_MEASURED if value is None or not sessions else number(value / sessions, 1000),
        )
        for key, value in found.items()
    ]
    table = Table(("part", "seconds", "share", "milliseconds a session"), rows) if rows else None
    return Block("time", "Time", _speed(document, total), table)


def _speed(document: Mapping[str, Any], total: float) -> str:
    """Return the number of sessions and their speed. `total` is the sum of the seconds of all processes."""
    sessions, speed = counted(document["sessions"], "session", "sessions"), document["sessions_per_second"]
    if not total or speed is None:
        return f"{sessions}. Their time was not measured."
    # `simulation_seconds` is left out: a resumed test has simulated some of these sessions before.
    return (
        f"{sessions} took {number(total)} seconds, summed over all processes, or {number(speed)} sessions a second "
        f"with {counted(document['processes'], 'process', 'processes')}. "
        "Seconds are wall time: a process that waits for a processor counts, too."
    )


def world(document: Mapping[str, Any]) -> Block | None:
    """Return the block with the configuration of the world."""
    found = dict(document.get("world") or {})
    config = found.pop("config", None) or {}
    rows = [(key, text(value)) for key, value in {**found, **config}.items()]
    table = Table(("", ""), rows, texts=2)
    return Block("world", "World", table=table, folded=True, prose=True) if table.rows else None
