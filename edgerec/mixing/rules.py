"""The rules of a mixed feed: the kinds of cards, how many of each may be shown, and where (docs/mixing.md)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from edgerec.core.documents import read_toml
from edgerec.core.errors import ConfigurationError
from edgerec.core.faults import fault_text
from edgerec.core.text_fields import Name

FORMAT = 1
MOST_KINDS, MOST_PLACES = 8, 50
Period = Literal["session", "day", "user"]
Relaxable = Literal["at_least", "advertiser_gap", "at_most", "first", "gap", "order"]
RELAXED_FIRST: tuple[Relaxable, ...] = ("at_least", "advertiser_gap", "at_most", "first", "gap", "order")
"""The default order in which rules are given up if they cannot all hold. The first one is given up first."""

Share = Annotated[float, Field(strict=True, ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


class KindRules(_Part):
    """The rules for the cards of one kind. Places are counted from 1 at the top of the list of a session.

    Attributes:
        worth: the value of a click on a card of this kind.
        share: the smallest and the largest share of this kind in the cards that users see. Prices steer towards it
            (`edgerec.mixing.prices`), so it holds over many cards and not on each page.
        over: the period over which the share should hold.
        gap: the smallest distance between two cards of this kind: 1 allows neighbours, 4 means three others between.
        advertiser_gap: the smallest distance between two cards of this kind from one advertiser.
        first: the first place at which a card of this kind may stand.
        at_least, at_most: the smallest and the largest number on one page.
    """

    worth: Annotated[float, Field(strict=True, ge=0, le=1e6)] = 1.0
    share: tuple[Share, Share] = (0.0, 1.0)
    over: Period = "session"
    gap: Annotated[int, Field(strict=True, ge=1, le=MOST_PLACES)] = 1
    advertiser_gap: Annotated[int, Field(strict=True, ge=1, le=MOST_PLACES)] = 1
    first: Annotated[int, Field(strict=True, ge=1, le=10_000)] = 1
    at_least: Annotated[int, Field(strict=True, ge=0, le=MOST_PLACES)] = 0
    at_most: Annotated[int, Field(strict=True, ge=0, le=MOST_PLACES)] = MOST_PLACES

    @model_validator(mode="after")
    def _no_contradiction(self) -> KindRules:
        if self.share[0] > self.share[1]:
            raise ValueError(f"share should be [low, high] with low at most high; received {list(self.share)}")
        if self.at_least > self.at_most:
            raise ValueError(f"at_least ({self.at_least}) should be at most at_most ({self.at_most})")
        return self


class MixRules(_Part):
    """All rules of a feed.

    Attributes:
        format: the format number.
        page: number of places of a page. Pages are counted from the top of the list.
        kind_column: the column of the items that has a card's kind. A feature `one_hot` of the items reads it.
        advertiser_column: the column of the items that has a card's advertiser, a whole number; None: there is none.
        unknown: the kind that cards of an unknown or missing kind count as. Default: the first kind.
        kinds: the rules of each kind.
        relax: the rules that may be given up if not all can hold, first one first. Seen cards never move.
    """

    format: Literal[1] = 1
    page: Annotated[int, Field(strict=True, ge=1, le=MOST_PLACES)] = 20
    kind_column: Name = "card_kind"
    advertiser_column: Name | None = None
    unknown: Name | None = None
    kinds: Annotated[dict[Name, KindRules], Field(min_length=1, max_length=MOST_KINDS)]
    relax: tuple[Relaxable, ...] = RELAXED_FIRST

    @field_validator("relax")
    @classmethod
    def _each_once(cls, relax: tuple[Relaxable, ...]) -> tuple[Relaxable, ...]:
        if len(set(relax)) < len(relax):
            raise ValueError(f"should name each rule once; received {', '.join(relax)}")
        return relax

    @model_validator(mode="after")
    def _no_contradiction(self) -> MixRules:
        if self.unknown is not None and self.unknown not in self.kinds:
            raise ValueError(f"unknown should be one of {', '.join(self.kinds)}; received {self.unknown!r}")
        low = sum(kind.share[0] for kind in self.kinds.values())
        high = sum(kind.share[1] for kind in self.kinds.values())
        if low > 1 + 1e-9 or high < 1 - 1e-9:
            raise ValueError(
                "the shares of all kinds should be able to sum to 1; "
                f"the smallest sum to {low:g}, the largest to {high:g}"
            )
        least = sum(kind.at_least for kind in self.kinds.values())
        if least > self.page:
            raise ValueError(f"at_least of all kinds should sum to at most page ({self.page}); the sum is {least}")
        for name, kind in self.kinds.items():
            room = 1 + (self.page - 1) // kind.gap
            if kind.at_least > room:
                raise ValueError(
                    f"kinds.{name}: at_least ({kind.at_least}) cards with gap {kind.gap} do not fit on a page of "
                    f"{self.page}: at most {room} do"
                )
        return self

    @property
    def names(self) -> tuple[str, ...]:
        """The kinds. Their order is the order of all arrays over kinds."""
        return tuple(self.kinds)

    @property
    def unknown_index(self) -> int:
        """The index of the kind that cards of an unknown kind count as."""
        return 0 if self.unknown is None else self.names.index(self.unknown)


def parse_rules(document: object, *, where: str) -> MixRules:
    """Return the rules in a document.

    Raises:
        ConfigurationError: the format number is unknown, a value is not valid, or rules contradict each other.
    """
    try:
        return MixRules.model_validate(document)
    except ValidationError as error:
        raise ConfigurationError(f"rules: {where}: {_fault(error)} (docs/mixing.md)") from None


def _fault(error: ValidationError) -> str:
    """Return the first fault in one line. A fault of several values together does not print all of them."""
    fault = error.errors(include_url=False)[0]
    text = fault_text(fault)
    return text.partition("; received {")[0] if isinstance(fault["input"], Mapping) else text


def load_rules(path: Path) -> MixRules:
    """Read rules from a TOML file.

    Raises:
        ConfigurationError: the file cannot be read, or see `parse_rules`.
    """
    return parse_rules(read_toml(path), where=str(path))


def rules_document(rules: MixRules) -> dict[str, Any]:
    """Return the rules as JSON."""
    return rules.model_dump(mode="json")
