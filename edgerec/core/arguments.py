"""Check arguments that a caller gives."""

from __future__ import annotations

from collections.abc import Iterable

from edgerec.core.errors import InputError
from edgerec.core.text import did_you_mean, shown


def check_object(value: object, kind: type, what: str, *, source: str) -> None:
    """Check that `value` is an object of the class `kind`.

    Args:
        value: the object.
        kind: its class.
        what: the function and its argument, for the error text.
        source: the function that returns such an object, for the error text.

    Raises:
        InputError: `value` has another class.
    """
    if not isinstance(value, kind):
        raise InputError(f"{what} should be a {kind.__name__}; received {type(value).__name__}: use {source}")


def check_choice(value: object, choices: Iterable[str], what: str) -> None:
    """Check that `value` is one of `choices`. `what` names the function and its argument in the error text.

    Raises:
        InputError: `value` is not one of them.
    """
    choices = list(choices)
    if value not in choices:
        received = shown(str(value)[:80])
        question = did_you_mean(received, choices)
        raise InputError(f"{what} should be one of {', '.join(choices)}; received {received}{question}")
