"""Where the server of a measurement reads embedding rows from."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Protocol

from edgerec.bench.cloud.workload import Workload


class Store(Protocol):
    """A place of embedding tables."""

    name: str

    def options(self, workload: Workload) -> contextlib.AbstractContextManager[list[str]]:
        """For a block, hold the tables of a workload ready. Yield the options of `edgerec serve` for this place."""
        ...


class NpzStore:
    """The files of the bundle."""

    name = "npz"

    @contextlib.contextmanager
    def options(self, workload: Workload) -> Iterator[list[str]]:
        """Yield no options: the server reads the files of the bundle."""
        yield []


def open_stores(names: Sequence[str]) -> list[Store]:
    """Return the stores of these names."""
    made: dict[str, Store] = {"npz": NpzStore()}
    return [made[name] for name in dict.fromkeys(names)]
