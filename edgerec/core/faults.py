"""Error texts for the faults that pydantic finds: the field, what was expected, what was received, what to do."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from edgerec.core.errors import EdgeRecError, InputError
from edgerec.core.text import did_you_mean, printable

_WHOLE, _NUMBER, _OBJECT, _LIST = "a whole number", "a number", "an object with keys", "a list"
EXPECTED = {
    "greater_than": "should be above {gt}",
    "greater_than_equal": "should be at least {ge}",
    "less_than": "should be below {lt}",
    "less_than_equal": "should be at most {le}",
    "finite_number": "should be a finite number",
    **dict.fromkeys(("int_type", "int_parsing", "int_parsing_size", "int_from_float"), f"should be {_WHOLE}"),
    **dict.fromkeys(("float_type", "float_parsing"), f"should be {_NUMBER}"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "should be true or false"),
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), f"should be {_OBJECT}"),
    **dict.fromkeys(("list_type", "tuple_type"), f"should be {_LIST}"),
    "extra_forbidden": "is not a known key: remove it",
    "string_type": "should be a string",
    "string_unicode": "should be a string of valid Unicode",
    "string_too_short": "should have at least {min_length} characters",
    "string_too_long": "should have at most {max_length} characters",
    "string_pattern_mismatch": "should match the pattern {pattern}",
    "too_short": "should have at least {min_length} values",
    "too_long": "should have at most {max_length} values",
    "literal_error": "should be {expected}",
}
"""What was expected, by pydantic's type of the error. The values in braces come from the error."""

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 80
_SHORT.maxlist = _SHORT.maxtuple = 8


def first_fault(error: ValidationError) -> str:
    """Return the first fault of a pydantic error in one line, without pydantic's own words."""
    return fault_text(error.errors(include_url=False)[0])


def fault_text(fault: Any) -> str:
    """Return one fault, as pydantic lists it in `ValidationError.errors`, in one line."""
    field = ".".join(str(part) for part in fault["loc"])
    text = _text(fault)
    # A text that does not begin with a verb is a complete sentence. It may name several fields.
    separator = "" if not field else " " if text.startswith(("should ", "is ")) else ": "
    return printable(f"{field}{separator}{text}")


def _text(fault: Any) -> str:
    kind, context = fault["type"], fault.get("ctx", {})
    if kind == "missing":
        return "is missing: add it"
    if kind == "unknown_key":
        return str(fault["msg"])
    if kind == "value_error":
        text = str(context["error"])
    elif kind == "too_short" and context["min_length"] == 1:
        text = "should not be empty"
    elif kind in EXPECTED:
        text = EXPECTED[kind].format(**context)
    else:
        text = "should" + fault["msg"].removeprefix("Input should") if "Input" in fault["msg"] else fault["msg"]
    received = _SHORT.repr(fault.get("input"))
    if "received" in text or (kind == "value_error" and received in text):
        return text
    return f"{text}; received {received if len(received) <= 80 else received[:77] + '...'}"


def unknown_key(name: object, known: Iterable[str]) -> str:
    """Return the error text for a key that does not exist: the most similar known key, and all known keys."""
    known = list(known)
    return f"is not a known key{did_you_mean(str(name), known)}; the known keys are: {', '.join(known)}"


class CheckedModel(BaseModel):
    """A pydantic model that users write. Its errors are those of EdgeRec.

    If it forbids other keys, an unknown key is reported before other faults, with the most similar known key. If it
    ignores other keys, an unknown key is only reported if it is similar to a known key, because it is probably
    misspelt. Its constructor reports every unknown key and raises `error_class`. pydantic's own functions, such as
    `model_validate`, raise `ValidationError`.
    """

    error_class: ClassVar[type[EdgeRecError]] = InputError

    # Type checkers see pydantic's `__init__`, which has an argument for each field.
    if not TYPE_CHECKING:

        def __init__(self, **values: Any) -> None:
            """Check the values.

            Raises:
                EdgeRecError: a value is invalid, or a key is unknown. `error_class` is the class of the error.
            """
            name, known = type(self).__name__, type(self).model_fields
            for key in values:
                if key not in known:
                    raise self.error_class(printable(f"{name}: {key} {unknown_key(key, known)}")) from None
            try:
                super().__init__(**values)
            except ValidationError as error:
                raise self.error_class(f"{name}: {first_fault(error)}") from None

        # With this mark, `model_validate` and documents with such a model do not call this `__init__`. They raise
        # pydantic's ValidationError.
        __init__.__pydantic_base_init__ = True

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, values: Any) -> Any:
        if isinstance(values, dict):
            strict = cls.model_config.get("extra") == "forbid"
            for key in values:
                if key not in cls.model_fields and (strict or did_you_mean(str(key), cls.model_fields)):
                    # PydanticCustomError replaces braces in its text, so the text is a value of its context.
                    fault = PydanticCustomError("unknown_key", "{text}", {"text": unknown_key(key, cls.model_fields)})
                    details = InitErrorDetails(type=fault, loc=(str(key),), input=values[key])
                    raise ValidationError.from_exception_data(cls.__name__, [details])
        return values
