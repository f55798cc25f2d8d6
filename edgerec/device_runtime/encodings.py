"""What the device stores of behaviours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgerec.core.errors import SessionError
from edgerec.device_runtime.matches import Met, check_count
from edgerec.device_runtime.session import is_plain

Array = npt.NDArray[np.float32]

_WIDEST = 1 << 20


@dataclass(frozen=True)
class Encodings:
    """What was stored of one kind's behaviours, oldest first.

    Attributes:
        keys: `(t, key_width)` float32, `Step.key` of each. Positive in the product form of attention, where they are
            exponentials.
        values: `(t, hidden)` float32, `Step.value` of each.
        met: for a model with exact matches (CRBAN+), which items they were of, and when; else none.
    """

    keys: Array
    values: Array
    met: Met | None = None

    def latest(self, count: int) -> Encodings:
        """Give the last `count` of them, or all where there are fewer.

        Raises:
            SessionError: `count` is no whole number from 0, or keys, values and met are not of one length.
        """
        check_count("count", count)
        lengths = [_length(array) for array in (self.keys, self.values)]
        if self.met is not None:
            if not isinstance(self.met, Met):
                raise SessionError(f"`met` should be Met or None. Received: {type(self.met).__name__}")
            lengths += [_length(array) for array in (self.met.ids, self.met.age)]
        if None in lengths or len(set(lengths)) > 1:
            raise SessionError(f"keys, values and met should be arrays of one length. Received: {lengths}")
        start = max(len(self.keys) - int(count), 0)
        return Encodings(self.keys[start:], self.values[start:], self.met and self.met.since(start))

    @classmethod
    def empty(cls, key_width: int, hidden: int) -> Encodings:
        """Give the encodings of no behaviour.

        Raises:
            SessionError: a width is no whole number from 0.
        """
        check_count("key_width", key_width, most=_WIDEST)
        check_count("hidden", hidden, most=_WIDEST)
        return cls(np.zeros((0, key_width), np.float32), np.zeros((0, hidden), np.float32))


def _length(array: object) -> int | None:
    """The number of rows of an array; none for anything else."""
    return len(array) if is_plain(array) and array.ndim else None
