"""The blocks of a report, in the order in which they are shown. A block without data is left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgerec.reports.bench.device_table import device_table
from edgerec.reports.bench.devices import Device, Document, devices_of, entries, replays_of
from edgerec.reports.bench.machine import machine, where
from edgerec.reports.bench.names import names
from edgerec.reports.block import Block, Table
from edgerec.reports.cells import megabytes, number, percent, text

SWEEPS = {"length": "sequence", "candidates": "rerank", "threads": "rerank"}
"""The parameters that sweeps vary, and the stage of each."""
_ROW = ("p50", "p90", "p99", "p99.9", "CPU", "n", "calls/s", "spread", "")
_RANGE = ("smallest", "largest")
_UNITS = "Durations are in microseconds per call."
_SWEEP_TITLES = {
    "length": ("steps", "One step against the whole sequence", "length"),
    "candidates": ("candidates", "Re-rank by number of candidates", "candidates"),
    "threads": ("threads", "Re-rank by number of threads", "threads"),
}
_SWEEP_NOTES = {
    "length": "A step costs the same after any sequence. The full run starts again from the first behaviour.",
    "candidates": "The lists of behaviours have their full lengths.",
    "threads": "The lists have their full lengths.",
}


def blocks_of(documents: Sequence[Document], files: Sequence[Path] = (), *, letters: bool = False) -> list[Block]:
    """Return the blocks of a report of these documents. With `letters`, devices are named A, B, and so on."""
    devices = devices_of(documents, files, letters=letters)
    made = (
        _warnings(devices),
        where(devices),
        _targets(devices),
        names(devices),
        _latency(devices),
        *(_sweep(devices, parameter) for parameter in SWEEPS),
        _peers(devices),
        _sweep_peers(devices),
        _size(devices),
        _table3(devices),
        *(_replay(document) for document in replays_of(documents)),
        _operations(devices),
        _cold(devices),
        _memory(devices),
        _sustained(devices),
        _energy(devices),
        machine(devices),
    )
    return [block for block in made if block is not None]


def sweep_of(row: Mapping[str, Any]) -> str | None:
    """Return the parameter that the row's sweep varies, or None if the row belongs to no sweep."""
    names = list(row["parameters"])
    return names[0] if len(names) == 1 and SWEEPS.get(names[0]) == row["stage"] else None


def row_key(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return what a row measures: stage, name and parameters."""
    return row["stage"], row["name"], text(row["parameters"])


def _warnings(devices: Sequence[Device]) -> Block | None:
    several = len(devices) > 1
    items = []
    for device in devices:
        failed = [f"{each['peer']} was not measured: {each['reason']}" for each in device.document["failed"]]
        items += [f"{device.label}: {each}" if several else each for each in (*device.document["warnings"], *failed)]
    return Block("warnings", "Warnings", items=items) if items else None


def _targets(devices: Sequence[Device]) -> Block | None:
    def cells(entry: Mapping[str, Any]) -> Iterable[str]:
        return (
            entry["what"],
            entry["result"],
            *(number(entry[key]) for key in ("measured", "required", "excellent")),
            entry["unit"],
        )

    heads = ("", "result", "measured", "required", "excellent", "unit")
    found = entries(devices, "targets", lambda entry: entry["what"])
    table = device_table(devices, heads, found, cells, texts=2, last_is_text=True)
    note = "The result is unknown if the machine was too unsteady."
    return Block("targets", "Targets", note, table) if table else None


def _row_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    quantiles = (number(row[f"{key}_us"]) for key in ("p50", "p90", "p99", "p999", "cpu"))
    rest = (number(row["per_second"]), percent(row["spread"]), "unsteady" if row["unstable"] else "")
    return (*quantiles, f"{row['n']:,}", *rest)


def _latency(devices: Sequence[Device]) -> Block | None:
    def cells(row: Mapping[str, Any]) -> Iterable[str]:
        parameters = text(row["parameters"])
        return (row["stage"], f"{row['name']} ({parameters})" if parameters else row["name"], *_row_cells(row))

    found = (each for each in entries(devices, "results", row_key) if sweep_of(each[1]) is None)
    table = device_table(devices, ("stage", "name", *_ROW), found, cells, texts=2, last_is_text=True)
    note = (
        f"{_UNITS} CPU is processor time, also per call. Spread is the distance between the quartiles of the medians "
        "of rounds, divided by their median. Do not trust the durations of rows that are unsteady; trust a ratio only "
        "if its range is narrow."
    )
    return Block("latency", "Latency", note, table) if table else None


def _sweep(devices: Sequence[Device], parameter: str) -> Block | None:
    def cells(row: Mapping[str, Any]) -> Iterable[str]:
        return (row["name"], text(row["parameters"][parameter]), *_row_cells(row))

    name, title, head = _SWEEP_TITLES[parameter]
    found = (each for each in entries(devices, "results", row_key) if sweep_of(each[1]) == parameter)
    table = device_table(devices, ("name", head, *_ROW), found, cells, texts=2, last_is_text=True)
    return Block(name, title, f"{_UNITS} {_SWEEP_NOTES[parameter]}", table, folded=True) if table else None


def _peers(devices: Sequence[Device]) -> Block | None:
    def cells(entry: Mapping[str, Any]) -> Iterable[str]:
        return (entry["stage"], entry["peer"], *_ratio_cells(entry))

    found = (each for each in _ratios(devices) if not each[1]["parameters"])
    table = device_table(devices, ("stage", "peer", "mnn / peer", *_RANGE), found, cells, texts=2)
    note = "The p50 of MNN divided by the p50 of the peer: median and range over rounds. Below 1, MNN is faster."
    return Block("peers", "Peers", note, table) if table else None


def _sweep_peers(devices: Sequence[Device]) -> Block | None:
    def cells(entry: Mapping[str, Any]) -> Iterable[str]:
        return (entry["stage"], text(entry["parameters"]), entry["peer"], *_ratio_cells(entry))

    found = (each for each in _ratios(devices) if each[1]["parameters"])
    table = device_table(devices, ("stage", "parameter", "peer", "ours / peer", *_RANGE), found, cells, texts=3)
    note = "The p50 of a step, or of MNN, divided by the p50 of the peer: median and range over rounds."
    return Block("sweeps", "Peers in sweeps", note, table, folded=True) if table else None


def _ratios(devices: Sequence[Device]) -> Iterator[tuple[Device, Mapping[str, Any]]]:
    return entries(devices, "ratios", lambda entry: (entry["stage"], entry["peer"], text(entry["parameters"])))


def _ratio_cells(entry: Mapping[str, Any]) -> Iterable[str]:
    return (number(entry[key]) for key in ("median", "min", "max"))


def _size(devices: Sequence[Device]) -> Block | None:
    def cells(entry: Mapping[str, Any]) -> Iterable[str]:
        return entry["half"], entry["part"], megabytes(entry["bytes"]), megabytes(entry["paper_bytes"])

    found = entries(devices, "size", lambda entry: (entry["half"], entry["part"]))
    table = device_table(devices, ("device / cloud", "part", "MB", "paper, MB"), found, cells, texts=2)
    return Block("size", "Size", "MB are millions of bytes.", table) if table else None


def _table3(devices: Sequence[Device]) -> Block | None:
    names = {"behaviour": "delay of a behaviour", "response": "response time"}

    def cells(entry: Mapping[str, Any]) -> Iterable[str]:
        times = (number(entry[key]) for key in ("p50_ms", "p99_ms", "paper_ms"))
        return (names.get(entry["what"], entry["what"]), *times)

    found = entries(devices, "table3", lambda entry: entry["what"])
    table = device_table(devices, ("milliseconds", "p50", "p99", "EdgeRec in the paper"), found, cells)
    note = (
        "The delay is from the client's call until the encoding is stored. The response time is from the trigger until "
        "the new order is there. The last column is the paper's own number for EdgeRec."
    )
    return Block("table3", "Table 3 of the paper", note, table) if table else None


def _replay(document: Document) -> Block:
    from edgerec.reports.replay.table import table3_rows

    note = f"{document['logs']}, mode {document['mode']}. The server ran on the same machine, without a network."
    table = Table(("", "on the device", "by the cloud alone"), table3_rows(document))
    return Block("replay", "Table 3 of a replay", note, table)


def _operations(devices: Sequence[Device]) -> Block | None:
    def cells(entry: Mapping[str, Any]) -> Iterable[str]:
        counts = (text(entry["commands"]), number(entry["mean_us"]), percent(entry["share"]))
        return (entry["stage"], entry["type"], *counts)

    found = entries(devices, "operations", lambda entry: (entry["stage"], entry["type"]))
    table = device_table(devices, ("stage", "type", "commands", "microseconds", "share"), found, cells, texts=2)
    note = "How long all commands of a type take in one run. Types that are too short to be timed have no duration."
    return Block("operations", "Profile by operation", note, table, folded=True) if table else None


def _cold(devices: Sequence[Device]) -> Block | None:
    def cells(entry: Mapping[str, Any]) -> Iterable[str]:
        return (entry["phase"], *(number(entry[key]) for key in ("median_ms", "min_ms", "max_ms")))

    found = entries(devices, "cold", lambda entry: entry["phase"])
    table = device_table(devices, ("milliseconds", "median", "smallest", "largest"), found, cells)
    note = (
        "From the start of a process to its first order. Each line has the median of its own durations, so the medians "
        "of the parts do not add up to the median of the total."
    )
    return Block("cold", "Cold start", note, table) if table else None


def _memory(devices: Sequence[Device]) -> Block | None:
    def cells(entry: Mapping[str, Any]) -> Iterable[str]:
        sizes = ("above_base_bytes", "resident_bytes", "private_bytes")
        growth = number(entry["growth_bytes"])
        return (entry["phase"], *(megabytes(entry[key]) for key in sizes), growth)

    found = entries(devices, "memory", lambda entry: entry["phase"])
    table = device_table(devices, ("MB", "above base", "resident", "private", "growth, bytes"), found, cells)
    note = (
        "The base is a process that has only imported NumPy and MNN. Private memory is shared with no other process. "
        "The growth is for each re-rank."
    )
    return Block("memory", "Memory", note, table) if table else None


def _sustained(devices: Sequence[Device]) -> Block | None:
    def cells(entry: Mapping[str, Any]) -> Iterable[str]:
        keys = ("second", "n", "p50_us", "p99_us", "frequency_mhz", "temperature_c")
        return (entry["stage"], entry["name"], *(number(entry[key]) for key in keys))

    heads = ("stage", "name", "second", "n", "p50", "p99", "MHz", "°C")
    found = entries(devices, "sustained", lambda entry: (entry["stage"], entry["name"]))
    table = device_table(devices, heads, found, cells, texts=2)
    return (
        Block("sustained", "Sustained load", f"{_UNITS} Each row is an interval.", table, folded=True)
        if table
        else None
    )


def _energy(devices: Sequence[Device]) -> Block | None:
    def cells(entry: Mapping[str, Any]) -> Iterable[str]:
        return entry["stage"], entry["name"], number(entry["microjoules"])

    found = entries(devices, "energy", lambda entry: (entry["stage"], entry["name"]))
    table = device_table(devices, ("stage", "name", "microjoules per call"), found, cells, texts=2)
    return (
        Block("energy", "Energy", "From the counters of the whole processor package (RAPL).", table) if table else None
    )
