"""The blocks that describe the measurement and its machine, with a column for each device."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edgerec.reports.bench.devices import Device, Document
from edgerec.reports.block import Block, Table
from edgerec.reports.cells import NONE, number, text

_ENVIRONMENT = {
    "cores_usable": "cores that the process may use",
    "features": "processor features",
    "governor": "governor",
    "frequency_mhz": "frequency, MHz",
    "temperature_c": "temperature, °C",
    "power": "power",
    "container": "container",
    "system": "system",
    "python": "Python",
    "versions": "versions",
}


def where(devices: Sequence[Device]) -> Block | None:
    """Return the block that says what was measured, on which processor."""
    return _described(devices, "where", "What and where", _measurement)


def machine(devices: Sequence[Device]) -> Block | None:
    """Return the block with everything else about the machine."""
    return _described(devices, "environment", "Environment", _details)


def _described(
    devices: Sequence[Device], name: str, title: str, describe: Callable[[Document], Mapping[str, Any]]
) -> Block | None:
    """Return a block with a column for each device and a row for each name that `describe` returns."""
    found = [
        {key: text(value) for key, value in describe(device.document).items() if value is not None and text(value)}
        for device in devices
    ]
    keys = dict.fromkeys(key for each in found for key in each)
    rows = [(key, *(each.get(key, NONE) for each in found)) for key in keys]
    heads = [device.label for device in devices] if len(devices) > 1 else [""]
    return Block(name, title, table=Table(("", *heads), rows, texts=1 + len(devices)), prose=True) if rows else None


def _measurement(document: Document) -> Mapping[str, Any]:
    environment, settings = document["environment"], document["settings"]
    return {
        "processor": environment.get("processor"),
        "architecture": environment.get("machine"),
        "emulated": environment.get("emulated") or None,
        "model": document["model"],
        "precision": document["precision"],
        "version ID": document["version_id"],
        "longest lists": document["sizes"] or None,
        "command": f"edgerec bench {document['what']}",
        "processes": settings["processes"],
        "rounds": settings["rounds"],
        "threads": settings["threads"],
        "load, start and end": [each for each in map(environment.get, ("load_start", "load_end")) if each is not None],
        "date (UTC)": environment.get("date"),
    }


def _details(document: Document) -> Mapping[str, Any]:
    environment = document["environment"]
    memory = environment.get("memory_bytes")
    return {
        "cores": environment.get("cores"),
        **{name: environment.get(key) for key, name in _ENVIRONMENT.items()},
        "memory, GB": None if memory is None else number(memory, 1e-9),
        "bound to processors": document["settings"]["cpus"],
        "bundle": document["bundle"],
        "seconds of the measurement": document["seconds"],
    }
