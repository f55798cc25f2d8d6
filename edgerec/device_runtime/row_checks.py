"""Check the raw values and the embedding rows that callers pass to the device, and convert them to arrays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from types import NoneType
from typing import Any

import numpy as np
import numpy.typing as npt

from edgerec.core.errors import SpecificationError
from edgerec.device_runtime.arguments import Shape, is_plain, received
from edgerec.device_runtime.finite import is_finite
from edgerec.features.kinds import Feature
from edgerec.features.kinds.base import DTYPES, Reads
from edgerec.features.vocabulary import STRING_IDS

_TYPES: dict[Reads, tuple[type, ...]] = {
    "numbers": (int, float, np.bool_, np.integer, np.floating),
    "strings": (str,),
    "identities": (int, np.integer),
}


def check_keys(what: str, values: object, known: Mapping[str, Any], advice: str) -> None:
    """Check that `values` is a mapping that has the same keys as `known`.

    Raises:
        SpecificationError: `values` is no mapping, has an unknown key, or lacks a key.
    """
    if not isinstance(values, Mapping):
        raise SpecificationError(f"{what}: expected a mapping, such as a dict; received {type(values).__name__}")
    if values.keys() == known.keys():
        return
    unknown = [f"unknown key {key!r:.80}" for key in values if key not in known]
    absent = [f"absent key {key!r}" for key in known if key not in values]
    if unknown or absent:
        raise SpecificationError(
            f"{what}: {', '.join(unknown[:8] + absent)}; the known keys are: {', '.join(known) or 'none'}: {advice}"
        )


def raw_column(feature: Feature, values: list[object]) -> npt.NDArray[Any]:
    """Return the values as the column (n,) that `feature` encodes. None is a missing value.

    Raises:
        SpecificationError: a value has a type that the feature does not read, is NaN or infinite, or is an ID that is
            too large for int64.
    """
    kinds = set(map(type, values))
    present = values
    if NoneType in kinds:
        kinds.remove(NoneType)
        present = [value for value in values if value is not None]
        values = [feature.missing if value is None else value for value in values]
    for kind in kinds:
        # timedelta64 is a subclass of NumPy's integers.
        if not issubclass(kind, _TYPES[feature.reads]) or kind is np.timedelta64:
            advice = f": {STRING_IDS}" if feature.reads == "identities" and issubclass(kind, str) else ""
            raise SpecificationError(
                f"feature {feature.name} ({feature.kind}) reads {feature.reads}; a value of column {feature.source!r} "
                f"has the type {kind.__name__}{advice}"
            )
    if feature.reads == "numbers" and not _all_finite(present):
        raise SpecificationError(
            f"feature {feature.name}: column {feature.source!r} contains NaN, an infinite value or a number that is "
            "too large for float64: give a missing value as None"
        )
    try:
        return np.array(values, DTYPES[feature.reads])
    except OverflowError:
        raise SpecificationError(
            f"feature {feature.name}: column {feature.source!r} contains an ID that is too large for int64"
        ) from None


def to_numbers(column: str, values: Sequence[object]) -> npt.NDArray[np.float64]:
    """Return the values of `column` as numbers. None becomes NaN.

    Raises:
        SpecificationError: a value is not a number, or is NaN or infinite.
    """
    for value in values:
        if value is not None and (not isinstance(value, _TYPES["numbers"]) or not _all_finite([value])):
            raise SpecificationError(
                f"column {column!r}: expected finite numbers; received {value!r:.80}: give a missing value as None"
            )
    return np.array([np.nan if value is None else value for value in values], np.float64)


def embedding_rows(name: str, rows: object, shape: Shape) -> npt.NDArray[np.float32]:
    """Return the embedding rows of feature `name` as float32.

    Raises:
        SpecificationError: `rows` is not a plain array of floating-point numbers of shape `shape`, or contains a number
            that is not finite in float32.
    """
    if not is_plain(rows) or rows.dtype.kind != "f" or rows.shape != shape:
        raise SpecificationError(
            f"embedding {name}: expected an array of floating-point numbers of shape {shape}; received "
            f"{received(rows)}: pass the embedding rows that the cloud sent with the items"
        )
    with np.errstate(over="ignore", under="ignore"):
        converted = rows.astype(np.float32, copy=False)
    if not is_finite(converted):
        raise SpecificationError(
            f"embedding {name}: expected finite numbers; received NaN, infinity or a number that is too large for "
            "float32: pass the embedding rows that the cloud sent with the items"
        )
    return converted


def _all_finite(numbers: Iterable[Any]) -> bool:
    try:
        return all(map(isfinite, numbers))
    except OverflowError:  # an int above the largest float64
        return False
