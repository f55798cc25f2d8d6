"""The feature specification: it says how models read the columns of the logs (Table 1).

A specification is a JSON file. Samples, runs, bundles and embedding tables contain a copy, so the NumPy encoder turns
the same values into the same vectors everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from edgerec.core.documents import bounded_bytes, parse_document
from edgerec.core.errors import FormatError, SpecificationError
from edgerec.core.paths import AnyPath, to_path
from edgerec.core.text_fields import Name
from edgerec.features.as_of import check_as_of
from edgerec.features.behaviours import EXPOSURE, PAGE_VIEW, BehaviourKind
from edgerec.features.kinds import Feature, check_kind_names
from edgerec.features.kinds.base import Origin
from edgerec.features.kinds.embedding import Embedding, embeddings

FORMAT = 1
WHAT = "feature specification"
GROUPS = (EXPOSURE.group, PAGE_VIEW.group, "item")


class FeatureSpec(BaseModel):
    """The features of the three groups, in the order in which their vectors are concatenated."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    name: Name
    ie_action: Annotated[tuple[Feature, ...], Field(min_length=1)]
    """Features of what the user did with an exposed item: e1 to e7."""
    ipv_action: Annotated[tuple[Feature, ...], Field(min_length=1)]
    """Features of what the user did on an item's page: d1 to d12."""
    item: Annotated[tuple[Feature, ...], Field(min_length=1)]
    """Features of the item: p1 to p7."""

    @model_validator(mode="after")
    def _consistent(self) -> FeatureSpec:
        for group, features in self.groups.items():
            names = [feature.name.lower() for feature in features]
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{group}: names should be unique; received {twice[0]} twice")
            for feature in features:
                if (feature.origin is not None) != (group == "item"):
                    rule = "should be 'catalogue' or 'served'" if group == "item" else "is for item features only"
                    raise ValueError(f"{group}.{feature.name}: origin {rule}; received {feature.origin!r}")
                if group != "item" and feature.has_table:
                    raise ValueError(f"{group}.{feature.name}: embeddings are for item features only")
                if feature.has_table and feature.origin != "catalogue":
                    raise ValueError(f"item.{feature.name}: an embedding's origin should be 'catalogue'")
        check_as_of(self.groups)
        return self

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
    """Return the features whose origin is `origin`: `catalogue` or `served`."""
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
        return parse_document(text, path=where, model=FeatureSpec, what=WHAT, format_number=FORMAT)
    except FormatError as error:
        raise SpecificationError(str(error)) from None


def table1() -> FeatureSpec:
    """Return the paper's features (Table 1). The bucket boundaries are chosen by EdgeRec (docs/features.md)."""
    path = Path(__file__).with_name("table1.json")
    return load_spec(path)
