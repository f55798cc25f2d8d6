"""The item feature that has the kind of a card in a mixed feed."""

from __future__ import annotations

from collections.abc import Sequence

from edgerec.features.kinds import Feature

CARD_KIND = "card_kind"
"""The source of the `one_hot` item feature that has the kind of a card: product, video, live, ad, ..."""


def card_kind_feature(features: Sequence[Feature]) -> tuple[int, tuple[str, ...]] | None:
    """Return where the kind of a card is, or None if no `one_hot` feature reads it.

    Args:
        features: the item features of a specification.

    Returns:
        The column of `Encoded.codes`, and the kinds of codes 1, 2, ... Code 0 is a kind that is not listed.
    """
    coded = [feature for feature in features if feature.field == "codes"]
    for column, feature in enumerate(coded):
        if feature.kind == "one_hot" and feature.source == CARD_KIND:
            return column, feature.listed
    return None
