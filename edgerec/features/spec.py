"""The feature specification: it says how models read the columns of the logs (Table 1).

A specification is a JSON file. Samples, runs, bundles and embedding tables contain a copy, so the NumPy encoder turns
the same values into the same vectors everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from edgerec.core.documents import bounded_bytes, parse_document
from edgerec.core.errors import EdgeRecError, FormatError, SpecificationError
from edgerec.core.faults import CheckedModel
from edgerec.core.paths import AnyPath, to_path
from edgerec.core.text_fields import Name
from edgerec.features.as_of import check_as_of
from edgerec.features.behaviours import EXPOSURE, PAGE_VIEW, BehaviourKind
from edgerec.features.context import DERIVED
from edgerec.features.kinds import Feature, check_kind_names
from edgerec.features.kinds.base import Origin
from edgerec.features.kinds.embedding import Embedding, embeddings
from edgerec.features.relations.rule import ITEM_ID, RelationRule

FORMAT = 1
WHAT = "feature specification"
ADVICE = "correct it (docs/features.md)"
CONTEXT, RELATIONS = "context", "relations"
GROUPS = (EXPOSURE.group, PAGE_VIEW.group, "item", CONTEXT, RELATIONS)
ORIGINS: dict[str, tuple[Origin | None, ...]] = {"item": ("catalogue", "served"), CONTEXT: ("request", "derived")}
"""The origins that the features of a group may have. Features of other groups have no origin."""


class FeatureSpec(CheckedModel):
    """The features of all groups, in the order in which their vectors are concatenated.

    The vector of a candidate has its item features, then its relations, then the context of the request.
    """

    error_class: ClassVar[type[EdgeRecError]] = SpecificationError
    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    name: Name
    ie_action: Annotated[tuple[Feature, ...], Field(min_length=1)]
    """Features of what the user did with an exposed item: e1 to e7."""
    ipv_action: Annotated[tuple[Feature, ...], Field(min_length=1)]
    """Features of what the user did on an item's page: d1 to d12."""
    item: Annotated[tuple[Feature, ...], Field(min_length=1)]
    """Features of the item: p1 to p7."""
    context: tuple[Feature, ...] = ()
    """Features of the request, which hold for all its candidates."""
    relations: tuple[Feature, ...] = ()
    """Features that compare a candidate with the user's latest behaviours."""

    @model_validator(mode="after")
    def _consistent(self) -> FeatureSpec:
        for group, features in self.groups.items():
            names = [feature.name.lower() for feature in features]
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{group}: names should be unique; received {twice[0]} twice")
            for feature in features:
                self._check_origin(group, feature)
        for feature in self.relations:
            self._check_relation(feature)
        self._check_columns_of_relations()
        both = {one.source for one in of_origin(self.context, "request")} & DERIVED.keys()
        if both:
            raise ValueError(f"context: {min(both)!r} is a derived value, so a column needs another name")
        check_as_of({group: features for group, features in self.groups.items() if group not in (CONTEXT, RELATIONS)})
        return self

    @staticmethod
    def _check_origin(group: str, feature: Feature) -> None:
        where = f"{group}.{feature.name}"
        allowed = ORIGINS.get(group, (None,))
        if feature.origin not in allowed:
            rule = "is for features of an item or of the context only"
            if allowed != (None,):
                rule = f"should be {' or '.join(map(repr, allowed))}"
            raise ValueError(f"{where}: origin {rule}; received {feature.origin!r}")
        if group != "item" and feature.has_table:
            raise ValueError(f"{where}: embeddings are for item features only")
        if (feature.relation is not None) != (group == RELATIONS):
            raise ValueError(f"{where}: `relation` is {'needed' if group == RELATIONS else 'for relations only'}")
        if feature.as_of is not None and group in (CONTEXT, RELATIONS):
            raise ValueError(f"{where}: `as_of` is for features of items and actions")
        if feature.origin == "derived" and feature.source not in DERIVED:
            raise ValueError(f"{where}: a derived source is one of {', '.join(DERIVED)}; received {feature.source!r}")
        if (feature.origin == "derived" or group == RELATIONS) and feature.reads != "numbers":
            raise ValueError(f"{where}: this value is a number, but the feature reads {feature.reads}")

    def _check_relation(self, feature: Feature) -> None:
        rule = feature.relation
        if rule is None:
            return
        if self.rules[feature.source] != rule:
            raise ValueError(
                f"relations.{feature.name}: another feature has the source {feature.source!r} with another relation: "
                "give them different sources"
            )
        served = {one.source for one in self.item if one.origin == "served"}
        if rule.same in served:
            raise ValueError(
                f"relations.{feature.name}: `same` should be a column of the catalogue or {ITEM_ID!r}; "
                f"received {rule.same!r}, which is a served value"
            )
        if rule.compute != "value" and self.column_origin(rule) == "action":
            raise ValueError(
                f"relations.{feature.name}: a candidate has no value of {rule.column!r}, which is a column of actions: "
                "use compute 'value'"
            )

    def _check_columns_of_relations(self) -> None:
        origins = {(rule.column, self.column_origin(rule)) for rule in self.rules.values() if rule.column is not None}
        of_items = {column for column, origin in origins if origin != "action"} | {
            rule.same for rule in self.rules.values()
        }
        both = {column for column, origin in origins if origin == "action" and column in of_items}
        if both:
            raise ValueError(
                f"relations: the column {min(both)!r} is a column of actions in one relation and of items in another: "
                "give the columns different names"
            )

    @model_serializer(mode="wrap")
    def _without_empty_groups(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Specifications without these groups keep the bytes that earlier versions wrote.
        document: dict[str, Any] = handler(self)
        for group in (CONTEXT, RELATIONS):
            if not document.get(group, True):
                del document[group]
        return document

    def column_origin(self, rule: RelationRule) -> Literal["catalogue", "served", "action"]:
        """Return where the column of numbers of a relation comes from."""
        if rule.column in {feature.source for feature in self.item if feature.origin == "served"}:
            return "served"
        catalogue = {feature.source for feature in self.item if feature.origin == "catalogue"}
        actions = {feature.source for feature in self.actions(rule.kind)} - catalogue
        return "action" if rule.column in actions else "catalogue"

    @property
    def rules(self) -> dict[str, RelationRule]:
        """The rules of the relations by source. Features with the same source share a rule."""
        return {feature.source: feature.relation for feature in self.relations if feature.relation is not None}

    @property
    def groups(self) -> dict[str, tuple[Feature, ...]]:
        """The features of each group, by the group's name."""
        return {group: getattr(self, group) for group in GROUPS}

    def actions(self, kind: BehaviourKind) -> tuple[Feature, ...]:
        """Return the features of the actions of one kind of behaviour."""
        return self.groups[kind.group]

    @property
    def embeddings(self) -> tuple[Embedding, ...]:
        """The item features that have an embedding table."""
        return embeddings(self.item)

    @property
    def vocabulary_sizes(self) -> dict[str, int]:
        """The maximum size of each embedding feature's vocabulary, by the feature's name."""
        return {feature.name: feature.vocabulary for feature in self.embeddings}


def of_origin(features: Iterable[Feature], origin: Origin) -> tuple[Feature, ...]:
    """Return the features whose origin is `origin`."""
    return tuple(feature for feature in features if feature.origin == origin)


def load_spec(path: AnyPath) -> FeatureSpec:
    """Read a specification file.

    Raises:
        InputError: `path` is not a path.
        SpecificationError: the file does not exist, is not JSON, has another format number or an invalid field.
        PluginError: another package has a feature kind with the name of one of EdgeRec's. This is checked here and not
            in `parse_spec`, because a device that loads a bundle should not read the entry points of all packages.
    """
    path = to_path(path, "load_spec: `path`")
    try:
        text = bounded_bytes(path)
    except OSError as error:
        raise SpecificationError(f"{WHAT}: {path} cannot be read ({error.strerror}): check it") from error
    spec = parse_spec(text, where=str(path))
    check_kind_names(chain.from_iterable(spec.groups.values()))
    return spec


def parse_spec(text: bytes | str, *, where: str) -> FeatureSpec:
    """Parse and check a specification. `where` is its name in error texts.

    Raises:
        SpecificationError: as for `load_spec`.
    """
    try:
        return parse_document(text, path=where, model=FeatureSpec, what=WHAT, format_number=FORMAT, advice=ADVICE)
    except FormatError as error:
        raise SpecificationError(str(error)) from None


def table1() -> FeatureSpec:
    """Return the paper's features (Table 1). The bucket boundaries are chosen by EdgeRec (docs/features.md)."""
    path = Path(__file__).with_name("table1.json")
    return load_spec(path)
