"""Which models can have personal patches on a device."""

from __future__ import annotations

from edgerec.core.errors import ConversionError
from edgerec.core.plugins import errors_of
from edgerec.model.reranker import Reranker


def check_patches(model: Reranker) -> None:
    """Check that a device can use patches with the model.

    Raises:
        ConversionError: the model has surroundings. A patch does not know which cards are around a card.
    """
    with errors_of(type(model.ranker)):
        head = model.ranker.surroundings(model.settings)
    if head is not None:
        raise ConversionError(
            f"personal head: {type(model.ranker).__name__} computes click rates from the cards around a card, which "
            "patches do not read: train another model for patches, for example crban"
        )
