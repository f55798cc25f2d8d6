"""Errors for invalid values name the field, what was expected and what was received. They have no words of pydantic."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgerec.core.errors import ConfigurationError, EdgeRecError
from edgerec.core.faults import CheckedModel, first_fault
from edgerec.core.text import did_you_mean

PYDANTIC_WORDS = ("Value error", "Input should", "Extra inputs", "Field required", "not permitted", "Assertion failed")


class Part(CheckedModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    batch_size: Annotated[int, Field(ge=1, le=9)] = 1
    rate: Annotated[float, Field(gt=0, lt=1)] = 0.5
    flag: bool = False
    kind: Literal["none", "log1p"] = "none"
    word: Annotated[str, Field(min_length=1, max_length=3, pattern="^[a-z]*$")] = "a"
    bounds: Annotated[tuple[float, ...], Field(min_length=1, max_length=2)] = (1.0,)
    sizes: dict[str, int] = Field(default_factory=dict)


class Whole(CheckedModel):
    error_class: ClassVar[type[EdgeRecError]] = ConfigurationError
    parts: list[Part] = Field(default_factory=list)


FAULTS = {
    "batch_size": [
        (0, "at least 1; received 0"),
        (10, "at most 9; received 10"),
        ("3x", "a whole number; received '3x'"),
    ],
    "rate": [(0, "above 0.0; received 0"), (1, "below 1.0; received 1"), ("x", "a number"), (float("nan"), "a finite")],
    "flag": [("x", "true or false; received 'x'")],
    "kind": [("sqrt", "'none' or 'log1p'; received 'sqrt'")],
    "word": [
        (3, "a string; received 3"),
        ("", "at least 1 characters"),
        ("abcd", "at most 3 char"),
        ("A", "the pattern"),
    ],
    "bounds": [
        (3, "a list; received 3"),
        ([], "not be empty; received []"),
        ([1, 2, 3], "at most 2 values; received [1,"),
    ],
    "sizes": [(3, "an object with keys; received 3")],
}


@pytest.mark.parametrize(("field", "value", "text"), [(f, v, t) for f, cases in FAULTS.items() for v, t in cases])
def test_a_fault_is_told_in_our_own_words(field: str, value: object, text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Whole.model_validate({"parts": [{}, {field: value}]})
    told = first_fault(caught.value)
    assert told.startswith(f"parts.1.{field} should ")
    assert text in told
    assert not any(word in told for word in PYDANTIC_WORDS)


def test_an_unknown_key_is_told_first_with_the_most_similar_and_all_known_keys() -> None:
    with pytest.raises(ValidationError) as caught:
        Whole.model_validate({"parts": [{"rate": 7}, {"rate": 7, "batchsize": 3}]})
    assert first_fault(caught.value).startswith("parts.0.rate should be below 1.0")
    with pytest.raises(ValidationError) as caught:
        Whole.model_validate({"parts": [{"rate": 7, "batchsize": 3}]})
    known = "batch_size, rate, flag, kind, word, bounds, sizes"
    expected = f"parts.0.batchsize is not a known key (did you mean batch_size?); the known keys are: {known}"
    assert first_fault(caught.value) == expected


def test_the_constructor_raises_the_error_of_the_model() -> None:
    with pytest.raises(ConfigurationError, match=r"^Whole: part is not a known key \(did you mean parts\?\)"):
        Whole(part=[])  # type: ignore[call-arg]
    with pytest.raises(ConfigurationError, match=r"^Whole: parts.0.batch_size should be at least 1; received 0$"):
        Whole(parts=[{"batch_size": 0}])  # type: ignore[list-item]


def test_a_missing_field_is_told_with_what_to_do() -> None:
    class Needs(BaseModel):
        name: str

    with pytest.raises(ValidationError) as caught:
        Needs.model_validate({})
    assert first_fault(caught.value) == "name is missing: add it"


@pytest.mark.parametrize(
    ("name", "question"),
    [
        ("batchsize", " (did you mean batch_size?)"),
        ("Batch-Size", " (did you mean batch_size?)"),
        ("page", " (did you mean cloud.page?)"),
        ("zzz", ""),
    ],
)
def test_the_most_similar_name_is_found(name: str, question: str) -> None:
    assert did_you_mean(name, ["rate", "batch_size", "cloud.page"]) == question


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("x" * 10_000),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*FAULTS, "else"]), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(value=VALUES, key=st.sampled_from([*FAULTS, "else"]) | st.text(max_size=5))
def test_no_text_has_words_of_pydantic_or_a_second_line(value: Any, key: str) -> None:
    try:
        Part.model_validate({key: value})
    except ValidationError as error:
        text = first_fault(error)
        assert not any(word in text for word in PYDANTIC_WORDS)
        assert len(text.splitlines()) == 1
        assert len(text) < 500
