"""The range of numbers that come in pieces: their moments by power of two, the same however the numbers are cut.

The bounds of a raw feature are fitted here. They keep one rare, wrong value from deciding a mean, a scale or a score.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgerec.data.moments import SMALLEST, Moments, moments

RARE = 1000
"""At most one in so many numbers other than 0 counts as an outlier."""

_BIAS = 1022
"""An octave is a binary exponent plus this, as in the bits of a double, so that it can bear the number's sign."""


@dataclass(frozen=True)
class Octaves:
    """Moments of numbers by octave; those of all pieces are the sum of those of each.

    The octave of numbers in ``[2^(e-1), 2^e)`` is ``e + 1022``; that of their negatives is ``-(e + 1022)``, that of 0
    is 0.

    Attributes:
        least: of the numbers; infinity where there are none.
        greatest: of the numbers; minus infinity where there are none.
        moments: by octave, of those that have a number.
    """

    least: float = math.inf
    greatest: float = -math.inf
    moments: Mapping[int, Moments] = field(default_factory=dict)

    def __add__(self, other: Octaves) -> Octaves:
        parts = dict(self.moments)
        for octave, part in other.moments.items():
            parts[octave] = parts.get(octave, Moments()) + part
        return Octaves(min(self.least, other.least), max(self.greatest, other.greatest), parts)

    def bounds(self) -> tuple[float, float]:
        """Where values are clipped: ``(low, high)``, both 0 where there are no numbers.

        The range of the numbers, widened by its own width on either side, so that larger numbers keep their order when
        they come later. But no bound is farther from 0 than `_largest` says.
        """
        if not self.moments:
            return 0.0, 0.0
        largest = self._largest()
        least, greatest = max(self.least, -largest), min(self.greatest, largest)
        width = greatest - least
        return max(least - width, -largest), min(greatest + width, largest)

    def _largest(self) -> float:
        """The power of two that is two to four times the size of the largest number which is no outlier."""
        counts: Counter[int] = Counter()
        for octave, part in self.moments.items():
            # Zeros do not count: what is large among the others does not depend on how rare they are.
            counts[abs(octave)] += part.count if octave else 0
        outliers = counts.total() // RARE
        for octave in sorted(counts, reverse=True):
            if counts[octave] > outliers:
                return 2.0 ** (octave - _BIAS + 1)
            outliers -= counts[octave]
        return 0.0

    def clipped(self, low: float, high: float) -> Moments:
        """The moments of the numbers clipped at `low` and `high`.

        Args:
            low: the lower bound that `bounds` gives, or a value that is not above the smallest number.
            high: the upper bound that `bounds` gives, or a value that is not below the largest number.
        """
        total = Moments()
        for octave, part in self.moments.items():
            smallest = 2.0 ** (abs(octave) - _BIAS - 1) if octave else 0.0
            if octave > 0 and smallest >= high:
                part = _repeated(high, part.count)
            elif octave < 0 and -smallest <= low:
                part = _repeated(low, part.count)
            total += part
        return total

    def to_note(self) -> dict[str, Any]:
        """As JSON."""
        parts = {octave: [part.count, part.total, part.squares] for octave, part in self.moments.items()}
        return {"range": [self.least, self.greatest] if parts else None, "octaves": parts}

    @classmethod
    def from_note(cls, note: Mapping[str, Any]) -> Octaves:
        """What `to_note` has given."""
        if note["range"] is None:
            return cls()
        least, greatest = note["range"]
        return cls(least, greatest, {int(octave): Moments(*part) for octave, part in note["octaves"].items()})


def octaves(values: NDArray[np.float64], counts: NDArray[np.int64] | None = None) -> Octaves:
    """Octaves of the numbers (n,) among `values`; NaN is none.

    Args:
        values: (n,), without infinity.
        counts: (n,), how often each stands there; default: once.

    Raises:
        SpecificationError: a value is too large (`edgerec.data.moments`).
    """
    there = ~np.isnan(values) if counts is None else ~np.isnan(values) & (counts > 0)
    values = values[there]
    if not len(values):
        return Octaves()
    # As in the moments, where the smallest count as 0.
    values[np.abs(values) < SMALLEST] = 0.0
    # Sign and exponent are the upper twelve bits of a double.
    upper = (values.view(np.int64) >> 52).astype(np.int16)
    numbers = np.where(upper < 0, np.int16(-2048) - upper, upper)
    order = np.argsort(numbers, kind="stable")
    numbers, grouped = numbers[order], values[order]
    often = None if counts is None else counts[there][order]
    starts = np.flatnonzero(np.diff(numbers, prepend=numbers[0] - 1))
    parts = {}
    for start, stop in itertools.pairwise([*starts.tolist(), len(values)]):
        parts[int(numbers[start])] = moments(grouped[start:stop], None if often is None else often[start:stop])
    return Octaves(float(values.min()), float(values.max()), parts)


def _repeated(value: float, count: int) -> Moments:
    return moments(np.array([value]), np.array([count], np.int64))
