"""What every embedding store does: rows by key and version, for all features of a page at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgerec.core.errors import FormatError, InputError, ShapeError

Keys = NDArray[np.int64]
Rows = TypeVar("Rows", bound=NDArray[Any])


class Found(NamedTuple):
    """What a look-up found.

    Attributes:
        rows: (m, dimension) float32, the caller's own; the table's unknown row for a key that it does not have.
        unknown: how many of the keys it does not have.
    """

    rows: NDArray[np.float32]
    unknown: int


class EmbeddingTables(Protocol):
    """The embedding tables of one version. Threads may share them."""

    @property
    def version_id(self) -> str: ...

    @property
    def dimensions(self) -> Mapping[str, int]:
        """Width of a row by feature."""
        ...

    def get_many(self, asked: Mapping[str, Keys]) -> dict[str, Found]:
        """Rows of the keys (m,) int64 of each feature.

        Raises:
            InputError: a feature without a table.
            ShapeError: keys of another type or shape.
        """
        ...


class OpenVersions:
    """Versions that are open at the same time: a page is answered by the one that its device runs.

    Threads may share it, and so may processes that are forked: each change is one operation of a dictionary, so that
    there is no lock that a fork could copy while it is held. A version that is removed serves the look-ups that already
    have it.
    """

    def __init__(self) -> None:
        self._tables: dict[str, tuple[EmbeddingTables]] = {}

    def add(self, tables: EmbeddingTables) -> None:
        """Take up a version.

        Raises:
            InputError: it is open already.
        """
        entry = (tables,)
        if self._tables.setdefault(tables.version_id, entry) is not entry:
            raise InputError(f"embedding tables: version {tables.version_id} is open already: remove it first")

    def get(self, version_id: str) -> EmbeddingTables:
        """The tables of a version.

        Raises:
            InputError: it is not open.
        """
        entry = self._tables.get(version_id)
        if entry is None:
            raise InputError(
                f"embedding tables: version {version_id!r} is not open; open are {', '.join(self.ids()) or 'none'}"
            )
        return entry[0]

    def remove(self, version_id: str) -> None:
        """Let go of a version.

        Raises:
            InputError: it is not open.
        """
        self.get(version_id)
        self._tables.pop(version_id, None)

    def ids(self) -> list[str]:
        """Of the open versions, in the order in which they were added."""
        return list(self._tables)


def check_keys(keys: Any, *, feature: str = "") -> None:
    """Refuse what is not int64 (m,).

    Raises:
        ShapeError: with what was received.
    """
    if not isinstance(keys, np.ndarray) or keys.ndim != 1 or keys.dtype != np.int64:
        received = f"{keys.dtype} {keys.shape}" if isinstance(keys, np.ndarray) else type(keys).__name__
        of = f" of {feature}" if feature else ""
        raise ShapeError(f"embedding tables: keys{of} should be int64 (m,); received {received}")


def no_table(feature: str, known: Mapping[str, Any]) -> InputError:
    """The error for a feature without a table."""
    return InputError(f"embedding tables: no table of {feature!r}; there are {', '.join(sorted(known)) or 'none'}")


def check_numbers(rows: Rows, what: str, *, advice: str) -> Rows:
    """Return stored `rows`, of any shape, unless one of them holds NaN or an infinite number: that is damage.

    Args:
        rows: floating-point numbers.
        what: they belong to, for errors.
        advice: what to do about it, for errors.

    Raises:
        FormatError: one does.
    """
    if not np.isfinite(rows).all():
        raise FormatError(f"{what} has a row with a NaN or infinite number, so it is damaged: {advice}")
    return rows
