"""The feature kinds, one in each file, and the registry that finds a kind by its name in a specification."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, SerializeAsAny

from edgerec.core.errors import PluginError
from edgerec.core.plugins import check_own_name, find_plugin
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
"""The group of entry points in which other packages add feature kinds. The entry point's name is the kind's name."""


def _parse_feature(value: Any) -> Any:
    """Parse one feature of a specification with the class of its kind."""
    if isinstance(value, BaseFeature):
        return value
    kind = value.get("kind") if isinstance(value, dict) else None
    class_ = KINDS.get(kind) or _find_kind(kind) if isinstance(kind, str) else None
    if class_ is None:
        raise ValueError(
            f"should be a feature whose kind is one of {', '.join(KINDS)}; received the kind {kind!r}. If another "
            f"package has this kind, install that package"
        )
    return class_.model_validate(value)


def _find_kind(name: str) -> type[BaseFeature] | None:
    """Return the feature kind that another package adds, or None if there is none.

    Raises:
        PluginError: it cannot be imported, or is no complete feature kind.
    """
    class_ = find_plugin(ENTRY_POINTS, name, BaseFeature)
    if class_ is not None and not issubclass(class_, Embedding) and (class_.field == "ids" or class_.layout == "table"):
        raise PluginError(
            f"feature kind {name}: a kind with a table should be a subclass of {Embedding.__module__}.Embedding; "
            f"received {class_!r} with field {class_.field!r} and layout {class_.layout!r}"
        )
    return class_


def check_kind_names(features: Iterable[BaseFeature]) -> None:
    """Check that no other package has a kind with the name of one of EdgeRec's kinds in `features`.

    Raises:
        PluginError: a package has an entry point of this name.
    """
    for name in sorted(KINDS.keys() & {feature.kind for feature in features}):
        check_own_name(ENTRY_POINTS, name)


Feature: TypeAlias = Annotated[SerializeAsAny[BaseFeature], BeforeValidator(_parse_feature)]
"""One feature of any kind, as a field of a pydantic model."""
