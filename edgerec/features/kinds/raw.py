"""The feature kind raw: a number that is transformed, clipped and scaled."""

from __future__ import annotations

from collections.abc import Sequence
from math import copysign, inf
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from edgerec.core.errors import SpecificationError
from edgerec.features.kinds.base import BaseFeature, EncodedField, FittedRange, Layout
from edgerec.features.vocabulary import Vocabulary

LARGEST = float(np.finfo(np.float32).max)
"""The largest number of float32."""


# If a value and a bound are both zero, x86 returns the bound. ARM returns 0.0 as the maximum and -0.0 as the minimum.
# They differ for the two bounds below. There the code sets the sign of zeros itself, so that both encode alike.


def _is_minus_zero(low: float) -> bool:
    return low == 0 and copysign(1.0, low) < 0


def _is_plus_zero(high: float) -> bool:
    return high == 0 and copysign(1.0, high) > 0


class Raw(BaseFeature):
    """``(clip(transform(x), low, high) - mean) / scale``. A missing value gives 0, as if it were the mean.

    If the specification leaves out `low`, `high`, `mean` or `scale`, `edgerec samples` fits it on the training period.
    """

    field: ClassVar[EncodedField] = "numbers"
    layout: ClassVar[Layout] = "number"

    kind: Literal["raw"]
    transform: Literal["none", "log1p"] = "none"
    low: float | None = None
    """Lower bound of the transformed value. Smaller values are replaced by it. In a fitted specification, None means
    that there is no bound; earlier versions wrote it."""
    high: float | None = None
    """Upper bound of the transformed value. Larger values are replaced by it. None means the same as for `low`."""
    mean: float | None = None
    scale: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _low_to_high(self) -> Raw:
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low should be at most high; received {self.low:g} and {self.high:g}")
        return self

    @property
    def fits_numbers(self) -> bool:
        return None in (self.low, self.high, self.mean, self.scale)

    def numbers(self, column: NDArray[Any]) -> NDArray[np.float64]:
        """Return the values (n,) after the transform and the clipping at the given bounds. NaN is a missing value."""
        values = self._floats(column)
        if self.transform == "log1p":
            if bool((values <= -1).any()):
                raise SpecificationError(
                    f"feature {self.name}: log1p needs values above -1; received {np.nanmin(values):g} in column "
                    f"{self.source!r}"
                )
            values = np.log1p(values)
        # On one row, which is what a device encodes, these two functions take a tenth of the time of np.clip.
        if self.low is not None:
            values = np.maximum(values, self.low)
            if _is_minus_zero(self.low):
                values[values == 0] = self.low
        if self.high is not None:
            values = np.minimum(values, self.high)
            if _is_plus_zero(self.high):
                values[values == 0] = self.high
        return values

    def fit(self, numbers: FittedRange) -> Raw:
        """Return the feature with all bounds, and with the mean and scale of the clipped values."""
        low, high = numbers.bounds()
        if self.low is not None:
            low, high = self.low, max(high, self.low)
        if self.high is not None:
            low, high = min(low, self.high), self.high
        inside = numbers.clipped(low, high)
        deviation = inside.standard_deviation
        mean = self.mean if self.mean is not None else inside.mean
        scale = self.scale if self.scale is not None else deviation if deviation > 1e-12 else 1.0
        return self.model_copy(update={"low": low, "high": high, "mean": mean, "scale": scale})

    def check_fitted(self, vocabulary: Vocabulary | None) -> None:
        self._scaling()

    def encode(self, column: NDArray[Any], vocabulary: Vocabulary | None = None) -> NDArray[np.float32]:
        mean, scale = self._scaling()
        if len(column) == 1 and (scaled_one := self._scaled_one(column, mean, scale)) is not None:
            return np.array([scaled_one], np.float32)
        with np.errstate(over="ignore"):
            scaled = (self.numbers(column) - mean) / scale
        if bool((np.abs(scaled) > LARGEST).any()):
            raise SpecificationError(
                f"feature {self.name}: column {self.source!r} contains a value that is too large for float32 after "
                f"scaling with mean {mean:g} and scale {scale:g}"
            )
        return np.where(np.isnan(scaled), 0.0, scaled).astype(np.float32)

    def _scaled_one(self, column: NDArray[Any], mean: float, scale: float) -> float | None:
        """Return the scaled number of a column with one row. Return None if it is missing or cannot be encoded.

        The result has the same bits as for many rows. On one row, which is what a device encodes, this takes a fraction
        of the time.
        """
        value = float(column[0]) if column.dtype.kind in "fiub" else inf
        lowest = -1.0 if self.transform == "log1p" else -inf
        if not lowest < value < inf:
            return None
        if self.transform == "log1p":
            value = float(np.log1p(value))
        # If both are zero, the result is the bound, as for many rows.
        if self.low is not None and not value > self.low:
            value = self.low
        if self.high is not None and not value < self.high:
            value = self.high
        scaled = (value - mean) / scale
        return scaled if abs(scaled) <= LARGEST else None

    def _scaling(self) -> tuple[float, float]:
        if self.mean is None or self.scale is None:
            raise SpecificationError(
                f"feature {self.name}: mean and scale are not fitted yet: use the specification in a folder of samples"
            )
        return self.mean, self.scale


class RawBlock:
    """Several raw features that are encoded together. On few rows, this takes a fraction of the time.

    The result has the same bits as `Raw.encode` of each feature.
    """

    def __init__(self, features: Sequence[Raw]) -> None:
        self._logs = np.array([index for index, one in enumerate(features) if one.transform == "log1p"], np.int64)
        self._low, self._high = (
            np.array([[end if bound is None else bound] for bound in bounds])
            for end, bounds in (
                (-np.inf, [feature.low for feature in features]),
                (np.inf, [feature.high for feature in features]),
            )
        )
        self._zero_low = [row for row, (bound,) in enumerate(self._low.tolist()) if _is_minus_zero(bound)]
        self._zero_high = [row for row, (bound,) in enumerate(self._high.tolist()) if _is_plus_zero(bound)]
        self._mean = np.array([[feature.mean or 0.0] for feature in features])
        self._scale = np.array([[feature.scale or 1.0] for feature in features])
        # Whether every number between the bounds is at most `LARGEST` after scaling.
        with np.errstate(over="ignore"):
            ends = [(bound - self._mean) / self._scale for bound in (self._low, self._high)]
        self._bounded = bool((np.abs(ends) <= LARGEST).all())

    def encode(self, columns: Sequence[NDArray[Any]] | NDArray[Any]) -> NDArray[np.float32] | None:
        """Return the encoded columns (features, n), or None if one of the features cannot read its column."""
        # The rows of one array have one type.
        types = [columns.dtype] if isinstance(columns, np.ndarray) else [column.dtype for column in columns]
        if any(each.kind not in "fiub" for each in types):
            return None
        # Some builds of NumPy warn if they compare NaN.
        with np.errstate(over="ignore", invalid="ignore"):
            return self._encode(np.array(columns, np.float64))

    def _encode(self, values: NDArray[np.float64]) -> NDArray[np.float32] | None:
        if len(self._logs):
            chosen = values.take(self._logs, axis=0)
            # `fmin` and `fmax` ignore missing numbers.
            if np.fmin.reduce(chosen, axis=None, initial=0.0) <= -1:
                return None
            values[self._logs] = np.log1p(chosen, out=chosen)
        if np.count_nonzero(np.isinf(values)):
            return None
        np.maximum(values, self._low, out=values)
        for row in self._zero_low:
            values[row][values[row] == 0] = -0.0
        np.minimum(values, self._high, out=values)
        for row in self._zero_high:
            values[row][values[row] == 0] = 0.0
        values -= self._mean
        values /= self._scale
        if not self._bounded and np.fmax.reduce(np.abs(values), axis=None, initial=0.0) > LARGEST:
            return None
        np.putmask(values, np.isnan(values), 0.0)
        encoded: NDArray[np.float32] = values.astype(np.float32)
        return encoded
