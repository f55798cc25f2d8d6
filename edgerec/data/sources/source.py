"""The interface of data sources. A source converts the files of a public data set to logs (docs/extending.md)."""

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
class UserLogs:
    """The logs of some users: all their events and requests, as tables of docs/formats.md, with rows in any order.

    A `request_id` is unique in the whole data set.
    """

    events: pl.DataFrame
    requests: pl.DataFrame


@dataclass
class Source(ABC):
    """A data set in its original files. Each data set is a subclass. `edgerec import` converts it to logs.

    The methods are called in this order: `spec`, `head`, `items`, `read`, `notes`. A subclass may add fields with
    defaults. A field whose type is `Annotated` with a help text is an option of the command; a `Literal` gives its
    choices.

    Attributes:
        folder: the folder of the files; SOURCE of the command. A source may also accept a file.
        scratch: an empty folder for temporary files. It is removed at the end.
    """

    folder: Path
    scratch: Path

    title: ClassVar[str]
    """Name of the data set, for error texts."""

    @classmethod
    def spec(cls) -> FeatureSpec:
        """Return the feature specification; default: the JSON file beside the module, of the same name."""
        return load_spec(Path(inspect.getfile(cls)).with_suffix(".json"))

    @abstractmethod
    def head(self) -> LogsHead:
        """Return the name of the logs, and the start of their test period if the data set defines one."""

    @abstractmethod
    def items(self) -> pl.DataFrame:
        """Return the complete catalogue."""

    @abstractmethod
    def read(self) -> Iterator[UserLogs]:
        """Yield the logs of some users at a time, in ascending order of user IDs. If a data set fits into memory, it
        can be yielded at once.
        """

    def notes(self) -> dict[str, Any]:
        """Return more values that the command prints, in addition to the counts of the logs."""
        return {}
