"""The documents of a report, each with the name of its device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import Any

Document = Mapping[str, Any]
KIND = "bench"


@dataclass(frozen=True)
class Device:
    """A document of `edgerec bench`, and the name that the report gives to its device."""

    label: str
    document: Document


def devices_of(documents: Sequence[Document], files: Sequence[Path] = (), *, letters: bool = False) -> list[Device]:
    """Name the device of each document of `edgerec bench`. Other documents are left out.

    The name is the processor and the machine. If two documents have the same, the names of the files are added, or a
    number if `files` is empty. With `letters`, the names are A, B, and so on, or numbers after Z.
    """
    pairs = [
        (document, files[index].name if files else f"document {index + 1}")
        for index, document in enumerate(documents)
        if document.get("kind") == KIND
    ]
    if letters:
        return [
            Device(ascii_uppercase[index] if index < len(ascii_uppercase) else str(index + 1), document)
            for index, (document, _) in enumerate(pairs)
        ]
    names = [_name(document["environment"]) for document, _ in pairs]
    often = Counter(names)
    labels = [f"{name}, {file}" if often[name] > 1 else name for name, (_, file) in zip(names, pairs, strict=True)]
    return [
        Device(f"{label} ({index + 1})" if labels.count(label) > 1 else label, document)
        for index, (label, (document, _)) in enumerate(zip(labels, pairs, strict=True))
    ]


def replays_of(documents: Sequence[Document]) -> list[Document]:
    """Return the documents of `edgerec replay`."""
    return [document for document in documents if document.get("kind") != KIND]


def entries(
    devices: Sequence[Device], key: str, identity: Callable[[Mapping[str, Any]], Hashable]
) -> Iterator[tuple[Device, Mapping[str, Any]]]:
    """Yield each entry of the list `key` of each document, with its device.

    Entries with the same `identity` come together, so that a table shows the devices side by side. Their order is that
    of the first document that has them.
    """
    found: dict[Hashable, list[tuple[Device, Mapping[str, Any]]]] = {}
    for device in devices:
        for entry in device.document[key]:
            found.setdefault(identity(entry), []).append((device, entry))
    for group in found.values():
        yield from group


def _name(environment: Mapping[str, Any]) -> str:
    parts = [str(environment[key]) for key in ("processor", "machine") if environment.get(key)]
    emulated = ["emulated"] if environment.get("emulated") else []
    return ", ".join(dict.fromkeys(parts + emulated)) or "unknown device"
