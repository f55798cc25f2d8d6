"""The contract of data sources: what turns files of a data set into logs (docs/extending.md)."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import polars as pl

from edgerec.data.logs import LogsHead
from edgerec.features.spec import FeatureSpec, load_spec


@dataclass(frozen=True)
class Part:
    """All events and requests of some users, as tables of docs/formats.md. Rows may come in any order.

    A `request_id` is unique in all parts together.
    """

    events: pl.DataFrame
    requests: pl.DataFrame


@dataclass
class Source(ABC):
    """A data set in its own files. Each data set is a subclass; `edgerec import` makes logs of it.

    The methods are called in this order: `spec`, `head`, `items`, `read`, `notes`. A subclass may add fields with
    defaults. A field whose type is `Annotated` with a help text is an option of the command; a `Literal` gives its
    choices.

    Attributes:
        folder: where the files are; SOURCE of the command.
        scratch: an empty folder for unfinished work. It is removed at the end.
    """

    folder: Path
    scratch: Path

    title: ClassVar[str]
    """Name of the data set, in errors."""

    @classmethod
    def spec(cls) -> FeatureSpec:
        """Return the feature specification; default: the JSON file beside the module, of the same name."""
        return load_spec(Path(inspect.getfile(cls)).with_suffix(".json"))

    @abstractmethod
    def head(self) -> LogsHead:
        """Return the name of the logs, and where their test period begins, if the data set says so."""

    @abstractmethod
    def items(self) -> pl.DataFrame:
        """Return the whole catalogue."""

    @abstractmethod
    def read(self) -> Iterator[Part]:
        """Yield parts, each with users of its own, in ascending order of users. One part is enough for a data set
        that fits into memory.
        """

    def notes(self) -> dict[str, Any]:
        """Return what the command says besides the counts of the logs."""
        return {}
