"""A table with a row for each entry of each device."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from edgerec.reports.bench.devices import Device
from edgerec.reports.block import Table


def device_table(
    devices: Sequence[Device],
    heads: Sequence[str],
    found: Iterable[tuple[Device, Mapping[str, Any]]],
    cells: Any,
    *,
    texts: int = 1,
    last_is_text: bool = False,
) -> Table | None:
    """Return a table with a row for each entry, or None if there are no entries.

    Args:
        devices: all devices. If there are several, a column after the other text columns names the device.
        heads: heads of the columns, without that of the device.
        found: the entries.
        cells: a function that returns the cells of an entry.
        texts: number of text columns at the left, without that of the device.
        last_is_text: whether the last column contains text.
    """
    several = len(devices) > 1
    rows = []
    for device, entry in found:
        row = list(cells(entry))
        rows.append((*row[:texts], device.label, *row[texts:]) if several else tuple(row))
    columns = (*heads[:texts], "device", *heads[texts:]) if several else tuple(heads)
    return Table(columns, rows, texts + several, last_is_text) if rows else None
