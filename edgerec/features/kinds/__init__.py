"""The kinds of features, one file each, and the registry that finds a kind by its name in a specification."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, SerializeAsAny

from edgerec.core.plugins import find_plugin
from edgerec.features.kinds.base import BaseFeature
from edgerec.features.kinds.binarize import Binarize
from edgerec.features.kinds.bucketize import Bucketize
from edgerec.features.kinds.embedding import Embedding
from edgerec.features.kinds.one_hot import OneHot
from edgerec.features.kinds.raw import Raw

KINDS: dict[str, type[BaseFeature]] = {
    "bucketize": Bucketize,
    "one_hot": OneHot,
    "binarize": Binarize,
    "embedding": Embedding,
    "raw": Raw,
}
ENTRY_POINTS = "edgerec.features"
"""Other packages add kinds in this group of entry points; the entry point's name is the kind's name."""


def _of_its_kind(value: Any) -> Any:
    """Parse one feature of a specification by the class of its kind."""
    if isinstance(value, BaseFeature):
        return value
    kind = value.get("kind") if isinstance(value, dict) else None
    found = KINDS.get(kind) or find_plugin(ENTRY_POINTS, kind, BaseFeature) if isinstance(kind, str) else None
    if found is None:
        raise ValueError(
            f"should be a feature whose kind is one of {', '.join(KINDS)}; received the kind {kind!r}. A kind of "
            f"another package needs that package installed"
        )
    return found.model_validate(value)


Feature: TypeAlias = Annotated[SerializeAsAny[BaseFeature], BeforeValidator(_of_its_kind)]
"""One feature of any kind, as a field of a pydantic model."""
