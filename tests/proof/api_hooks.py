"""What schemathesis must know of our interface, and cannot read in its description."""

from __future__ import annotations

from typing import Any

import schemathesis

_INT64 = range(-(2**63), 2**63)


@schemathesis.hook
def filter_case(context: Any, case: Any) -> bool:
    """Leave out bodies that count as valid only because of how JSON Schema treats numbers.

    For JSON Schema, 219.0 is an integer; the server wants 219. And schemathesis 4.32 takes some integers for valid that
    are above the maximum of the description, such as 2**63 + 191 for a maximum of 2**63 - 1.
    """
    mode = getattr(getattr(getattr(case, "meta", None), "generation", None), "mode", None)
    return not (getattr(mode, "is_positive", False) and _odd(case.body))


def _odd(value: Any) -> bool:
    """Return whether a whole number within `value` has a fraction of zero or more than 64 bits."""
    if isinstance(value, dict):
        return any(map(_odd, value.values()))
    if isinstance(value, list):
        return any(map(_odd, value))
    return (type(value) is int and value not in _INT64) or (type(value) is float and value.is_integer())
