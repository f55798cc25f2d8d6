"""Check arguments that a caller gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Integral, Real

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


def check_whole(value: object, what: str, *, least: int | None = None) -> None:
    """Check that `value` is a whole number, and not below `least`. `what` names the argument in the error text.

    Raises:
        InputError: `value` is not such a number.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or (least is not None and value < least):
        limit = "" if least is None else f" of at least {least}"
        raise InputError(f"{what} should be a whole number{limit}; received {shown(repr(value)[:80])}")


def check_fraction(value: object, what: str) -> None:
    """Check that `value` is a number between 0 and 1. `what` names the argument in the error text.

    Raises:
        InputError: `value` is not such a number.
    """
    if not isinstance(value, Real) or not 0 < float(value) < 1:
        raise InputError(f"{what} should be between 0 and 1; received {shown(repr(value)[:80])}")


def check_mapping(value: object, what: str) -> None:
    """Check that `value` is a mapping, such as a dictionary. `what` names the argument in the error text.

    Raises:
        InputError: `value` has another class.
    """
    if not isinstance(value, Mapping):
        raise InputError(f"{what} should be a mapping, such as a dict; received {type(value).__name__}")


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
