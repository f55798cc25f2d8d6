"""The exposed cards of a split, with the kinds of the cards and of the cards before them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edgerec.core.console import progress
from edgerec.core.errors import ConfigurationError, InputError
from edgerec.data.samples import Samples
from edgerec.features.card_kind import CARD_KIND, card_kind_feature
from edgerec.model.baselines import NO_PAIR
from edgerec.model.batches import Batch
from edgerec.model.evaluation import EVALUATION_BATCH
from edgerec.model.input_pipeline import ahead, epoch, groups
from edgerec.model.reranker import shown_kinds_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

UNLISTED, NO_CARD = "(not listed)", "(top of the list)"


@dataclass(frozen=True)
class ShownCards:
    """The exposed cards of a split, in a fixed order. Each exposure counts once.

    An exposure is in the list of each earlier request of its page. Here it belongs to the latest one, in which it is
    nearest to the top: so behaviours are as recent as they are on a device.

    Attributes:
        user: (n,) int64, an index from 0 to users - 1.
        label: (n,) 0 or 1.
        kind: (n,) an index into `kinds`.
        previous: (n,) the kind of the card before: an index into `kinds`, or its length at the top of the list.
        kinds: names of the kinds; the first one is for kinds that are not listed.
        chosen: (m,) whether a scored card of the requests is one of the n cards, in the order of `_batches`.
    """

    user: Ints
    label: Floats
    kind: Ints
    previous: Ints
    kinds: tuple[str, ...]
    chosen: NDArray[np.bool_]

    @property
    def neighbours(self) -> tuple[str, ...]:
        """Names of the kinds of the card before."""
        return (*self.kinds, NO_CARD)

    @property
    def users(self) -> int:
        """Number of users."""
        return int(self.user.max(initial=-1)) + 1


def kinds_of(samples: Samples) -> tuple[int, tuple[str, ...]]:
    """Return the column of the codes with the kind of a card, and the kinds.

    Raises:
        ConfigurationError: the samples have no kinds of cards.
    """
    found = card_kind_feature(samples.head.spec.item)
    if found is None:
        raise ConfigurationError(
            f"samples {samples.path} have no kinds of cards: the feature specification should have an item feature of "
            f"the kind one_hot with the source {CARD_KIND!r} (docs/mixing.md)"
        )
    return found


def shown_cards(samples: Samples, split: str) -> ShownCards:
    """Return the exposed cards of a split.

    Raises:
        ConfigurationError: the samples have no kinds of cards.
        InputError: the split has no clicked or no unclicked card.
    """
    column, kinds = kinds_of(samples)
    pages = np.concatenate([shard.requests.page for shard in groups(samples, split)] or [np.zeros(0, np.int64)])
    parts: list[list[NDArray[Any]]] = []
    for batch in _batches(samples, split, f"read {split}"):
        seen = batch.weight > 0
        row, place = seen.nonzero()[0], batch.inputs["scored"][seen].astype(np.int64)
        item = np.take_along_axis(batch.inputs["candidate_row"], batch.inputs["scored"], axis=1)[seen]
        own, previous = _kinds(batch, column)
        users, page = batch.users[row], pages[batch.rows[row]]
        parts.append([users, batch.label[seen], own[seen], previous[seen], page, item, place])
    if not parts:
        raise InputError(NO_PAIR)
    user, label, own, before, page, item, place = (np.concatenate(part) for part in zip(*parts, strict=True))
    order = np.lexsort((place, item, page, user))
    same = [part[order][1:] == part[order][:-1] for part in (user, page, item)]
    chosen = np.zeros(len(user), bool)
    chosen[order] = np.concatenate([[True], ~np.logical_and.reduce(same)])
    user, label, own, before = (part[chosen] for part in (user, label, own, before))
    if not 0 < label.sum() < len(label):
        raise InputError(NO_PAIR)
    return ShownCards(
        user=np.unique(user, return_inverse=True)[1].astype(np.int64),
        label=label.astype(np.float64),
        kind=own,
        previous=np.where(before < 0, len(kinds) + 1, before),
        kinds=(UNLISTED, *kinds),
        chosen=chosen,
    )


def logits_of(
    function: Callable[[Mapping[str, Any]], Any], samples: Samples, split: str, cards: ShownCards, *, what: str
) -> Floats:
    """Return the logits (n,) of `cards`, by a function of the inputs of `Reranker`."""
    parts = [function(batch.inputs).numpy()[batch.weight > 0] for batch in _batches(samples, split, what)]
    logits: Floats = np.concatenate(parts)[cards.chosen].astype(np.float64)
    return logits


def _batches(samples: Samples, split: str, what: str) -> Iterator[Batch]:
    total = -(-samples.head.splits[split].requests // EVALUATION_BATCH)
    batches = ahead(epoch(samples, split, batch_size=EVALUATION_BATCH, together=EVALUATION_BATCH))
    return iter(progress(batches, what=what, total=total))


def _kinds(batch: Batch, column: int) -> tuple[Ints, Ints]:
    """Return the codes of the scored cards and of the cards before them, -1 at the top of the list. (batch, s)."""
    shown = shown_kinds_of(tf.nest.map_structure(tf.convert_to_tensor, batch.inputs), column)
    line = np.concatenate([shown.seen.numpy()[:, -1:], shown.codes.numpy()], axis=1).astype(np.int64)
    scored = batch.inputs["scored"]
    return np.take_along_axis(line, scored + 1, axis=1), np.take_along_axis(line, scored, axis=1)
