"""Facts: the values of candidates and behaviours that relations read, as arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgerec.core.errors import SpecificationError
from edgerec.features.vocabulary import MISSING_ID


@dataclass(frozen=True)
class Facts:
    """What relations read of n candidates or n behaviours.

    Attributes:
        keys: (n, columns) int64, a key for each column of `same_columns`. Equal values have equal keys. `MISSING_ID`
            stands for a missing value.
        numbers: (n, columns) float64, a number for each column of `number_columns`. NaN stands for a missing value.
    """

    keys: NDArray[np.int64]
    numbers: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, rows: slice | NDArray[np.integer[Any]]) -> Facts:
        return Facts(self.keys[rows], self.numbers[rows])


def key_of(value: object) -> int:
    """Return the key of one value. A whole number is its own key; the key of a string is a hash of 64 bits.

    Raises:
        SpecificationError: the value is not a whole number of 64 bits, a string or None.
    """
    if value is None or value == "":
        return MISSING_ID
    if isinstance(value, str):
        digest = hashlib.blake2b(value.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        return int.from_bytes(digest, "little", signed=True)
    if isinstance(value, int | np.integer) and not isinstance(value, bool) and -(2**63) <= value < 2**63:
        return int(value)
    raise SpecificationError(
        f"a value that relations compare should be a whole number of 64 bits, a string or None; received {value!r}"
    )


def keys_of(values: Iterable[object]) -> NDArray[np.int64]:
    """Return the keys (n,) of n values; see `key_of`."""
    return np.array([key_of(value) for value in values], np.int64)
