"""The rule of a relation: which number is computed from a candidate and the latest behaviours."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field, model_validator

from edgerec.core.errors import EdgeRecError, SpecificationError
from edgerec.core.faults import CheckedModel
from edgerec.core.text_fields import Value
from edgerec.features.behaviours import BEHAVIOUR_KINDS, BehaviourKind

ITEM_ID = "item_id"
"""As `same`: the behaviours of the candidate itself."""

Compute = Literal["count", "share", "seconds_since", "steps_since", "value", "difference", "ratio"]
WITH_COLUMN = ("value", "difference", "ratio")
"""The computations that read a column."""


class RelationRule(CheckedModel):
    """How the number of a candidate is computed from the user's latest behaviours of one kind.

    The behaviours are those that the ranker reads: the latest ones before the request, at most as many as the limit of
    their kind. `same`, `within_s` and `latest` select some of them.
    """

    error_class: ClassVar[type[EdgeRecError]] = SpecificationError
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    behaviours: Literal["exposures", "page_views"]
    """The kind of behaviour."""
    same: Annotated[Value, Field(min_length=1)] | None = None
    """Only behaviours whose item has the candidate's value in this column of the catalogue; `item_id`: the candidate
    itself. A missing value is never the same."""
    within_s: Annotated[float, Field(gt=0)] | None = None
    """Only behaviours of the last seconds before the request."""
    latest: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Only the latest behaviours. They are counted before `same` selects."""
    compute: Compute
    """What is computed from the selected behaviours. If there are none, `count` and `share` are 0, and the others are
    missing.

    - `count`: their number.
    - `share`: their number, divided by the number of behaviours without `same`. Missing if that is 0.
    - `seconds_since`: seconds from the last of them to the request.
    - `steps_since`: number of behaviours of the kind after the last of them.
    - `value`: their value of `column`, see `over`.
    - `difference`, `ratio`: the candidate's value of `column` minus (divided by) their value. Missing if a value is
      missing, or if the divisor is 0.
    """
    column: Annotated[Value, Field(min_length=1)] | None = None
    """A column of numbers: of the catalogue, served, or (only for `value`) of the actions of the kind."""
    over: Literal["last", "mean", "min", "max"] = "last"
    """How one value is made from the selected behaviours that have a value in `column`."""

    @model_validator(mode="after")
    def _complete(self) -> RelationRule:
        if (self.compute in WITH_COLUMN) != (self.column is not None):
            needed = "needs `column`" if self.column is None else "reads no `column`: remove it"
            raise ValueError(f"compute {self.compute!r} {needed}")
        if self.column is None and self.over != "last":
            raise ValueError(f"compute {self.compute!r} reads no column, so `over` has no meaning: remove it")
        if self.compute == "share" and self.same is None:
            raise ValueError("compute 'share' needs `same`: the share of all behaviours is always 1")
        return self

    @property
    def kind(self) -> BehaviourKind:
        """The kind of behaviour."""
        return next(kind for kind in BEHAVIOUR_KINDS if kind.plural == self.behaviours)


def same_columns(rules: Iterable[RelationRule]) -> tuple[str, ...]:
    """Return the columns that `same` names, each once, in the order of the rules."""
    return tuple(dict.fromkeys(rule.same for rule in rules if rule.same is not None))


def number_columns(rules: Iterable[RelationRule]) -> tuple[str, ...]:
    """Return the columns of numbers that the rules read, each once, in the order of the rules."""
    return tuple(dict.fromkeys(rule.column for rule in rules if rule.column is not None))
