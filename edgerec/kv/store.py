"""The interface of embedding stores: look up rows by version and key, for all features of a page at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgerec.core.errors import FormatError, InputError, ShapeError

Keys = NDArray[np.int64]
Rows = TypeVar("Rows", bound=NDArray[Any])


class Lookup(NamedTuple):
    """The result of a look-up in one table.

    Attributes:
        rows: (m, dimension) float32, a copy that the caller may change. A key that is not in the table has the row
            for unknown keys.
        known: (m,) bool, whether the table has the key.
    """

    rows: NDArray[np.float32]
    known: NDArray[np.bool_]

    @property
    def unknown(self) -> int:
        """Number of keys that are not in the table."""
        return len(self.known) - int(np.count_nonzero(self.known))


class EmbeddingTables(Protocol):
    """The interface of the embedding tables of one version. Threads may share an instance."""

    @property
    def version_id(self) -> str: ...

    @property
    def dimensions(self) -> Mapping[str, int]:
        """The dimension of the rows of each feature's table."""
        ...

    def get_many(self, keys_by_feature: Mapping[str, Keys]) -> dict[str, Lookup]:
        """Look up the rows of each feature's keys, int64 (m,).

        Raises:
            InputError: a feature has no table.
            ShapeError: the keys of a feature are not int64 (m,).
        """
        ...


class OpenVersions:
    """A collection of open versions. Each page uses the version that its device runs.

    Threads and forked processes may share an instance. Each change is one atomic operation on a dictionary, so
    no lock is needed. A fork could copy a lock while it is locked. After a version is removed, callers can still use
    the tables that they got before.
    """

    def __init__(self) -> None:
        self._tables: dict[str, tuple[EmbeddingTables]] = {}

    def add(self, tables: EmbeddingTables) -> None:
        """Add the tables of a version, which the caller has opened.

        Raises:
            InputError: a version with this id is open already.
        """
        entry = (tables,)
        if self._tables.setdefault(tables.version_id, entry) is not entry:
            raise InputError(f"embedding tables: version {tables.version_id} is open already: remove it first")

    def get(self, version_id: str) -> EmbeddingTables:
        """Return the tables of a version.

        Raises:
            InputError: the version is not open.
        """
        entry = self._tables.get(version_id)
        if entry is None:
            raise InputError(
                f"embedding tables: version {version_id!r} is not open; open versions: "
                f"{', '.join(self.ids()) or 'none'}"
            )
        return entry[0]

    def remove(self, version_id: str) -> None:
        """Remove a version from the collection.

        Raises:
            InputError: the version is not open.
        """
        self.get(version_id)
        self._tables.pop(version_id, None)

    def ids(self) -> list[str]:
        """Return the ids of the open versions, in the order in which they were added."""
        return list(self._tables)


def check_keys(keys: Any, *, feature: str = "") -> None:
    """Check that `keys` is an int64 array (m,).

    Raises:
        ShapeError: `keys` has another type or shape.
    """
    if not isinstance(keys, np.ndarray) or keys.ndim != 1 or keys.dtype != np.int64:
        received = f"{keys.dtype} {keys.shape}" if isinstance(keys, np.ndarray) else type(keys).__name__
        of = f" of {feature}" if feature else ""
        raise ShapeError(f"embedding tables: keys{of} should be int64 (m,); received {received}")


def no_table(feature: str, known: Mapping[str, Any]) -> InputError:
    """Return the error for a feature that has no table."""
    return InputError(
        f"embedding tables: feature {feature!r} has no table; features with tables: "
        f"{', '.join(sorted(known)) or 'none'}"
    )


def check_numbers(rows: Rows, what: str, *, advice: str) -> Rows:
    """Return `rows` after checking that all numbers are finite.

    Args:
        rows: floating-point numbers of any shape.
        what: name of the table for the error text.
        advice: what the user should do, for the error text.

    Raises:
        FormatError: a number is NaN or infinite.
    """
    if not np.isfinite(rows).all():
        raise FormatError(f"{what} has a row with a NaN or infinite number, so it is damaged: {advice}")
    return rows
