"""Logged lists with the scores of a trained model. This imports TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edgerec.data.samples import NOT_EXPOSED, Samples
from edgerec.mixing.esan_values import EsanValues
from edgerec.mixing.head import CardVectors, SurroundingsHead
from edgerec.mixing.mixer import click_rates, point_values
from edgerec.mixing.prior import MixPrior
from edgerec.mixing.rules import MixRules
from edgerec.mixing.slate import Problem
from edgerec.mixing.values import PlanValues
from edgerec.model.batches import make_batch
from edgerec.model.mixing.kinds import KindReader
from edgerec.model.mixing.lists import shard_lists
from edgerec.model.reranker import Reranker
from edgerec.model.runs import Run

Floats = NDArray[np.float64]
BATCH = 200


@dataclass(frozen=True)
class ScoredList:
    """One request, with its candidates in the logged order.

    Attributes:
        user: the user.
        kinds: (c,) the kinds of the candidates.
        counted: (c,) whether each candidate was exposed, and no later request of its page has it.
        clicked: (c,) float64, 1 if it was clicked, else 0.
        relevance: (c,) float64, the logits without surroundings, by which a re-rank orders.
        shown: (c,) float64, the logits in the logged order. The same as `relevance` for a model without surroundings.
        first: whether it is the first request of its page.
        vectors: what the head of ESAN reads of the candidates; None for a model without surroundings, and for requests
            that are not the first ones of their pages.
    """

    user: int
    kinds: NDArray[np.int64]
    counted: NDArray[np.bool_]
    clicked: Floats
    relevance: Floats
    shown: Floats
    first: bool
    vectors: CardVectors | None = None

    @property
    def best_first(self) -> NDArray[np.int64]:
        """The candidates in the order of a re-rank."""
        return np.argsort(-self.relevance, kind="stable").astype(np.int64)

    def values(
        self, problem: Problem, rules: MixRules, prior: MixPrior, prices: Floats, head: SurroundingsHead | None
    ) -> PlanValues:
        """Return the values of the plans of this list, whose candidates are in the order `best_first`."""
        order = self.best_first
        by_kind = dict(zip(rules.names, prices.tolist(), strict=True))
        if head is not None and self.vectors is not None:
            vectors = CardVectors(*(getattr(self.vectors, name)[order] for name in ("own", "before", "after")))
            return EsanValues.of(head, vectors, problem, rules, prices=by_kind, prior=prior)
        kinds = problem.cards.kinds
        return point_values(
            rules, prior, kinds, click_rates(rules, prior, kinds, self.relevance[order]), prices=by_kind
        )


def head_of(model: Reranker) -> SurroundingsHead | None:
    """Return the head of a model; None if it has no surroundings."""
    head: SurroundingsHead | None = model.ranker.surroundings(model.settings)
    return head


def scored_lists(run: Run, samples: Samples, split: str, reader: KindReader) -> Iterator[ScoredList]:
    """Yield all requests of a split with the model's logits."""
    score = _scorer(run.model, vectors=head_of(run.model) is not None)
    for lists in shard_lists(samples, split, reader):
        requests, first = lists.shard.requests, set(lists.first.tolist())
        for start in range(0, len(requests), BATCH):
            rows = np.arange(start, min(start + BATCH, len(requests)))
            found = [part.numpy() for part in score(make_batch(lists.shard, rows).inputs)]
            for index, row in enumerate(rows.tolist()):
                where = lists.candidates(row)
                label = requests.label[where]
                relevance, shown, *vectors = (part[index, : len(label)] for part in found)
                yield ScoredList(
                    user=int(requests.user[row]),
                    kinds=lists.kinds[where],
                    counted=(label != NOT_EXPOSED) & lists.latest[where],
                    clicked=(label == 1).astype(np.float64),
                    relevance=relevance.astype(np.float64),
                    shown=shown.astype(np.float64),
                    first=row in first,
                    # Copies, so that the whole batch does not stay in memory.
                    vectors=CardVectors(*(part.copy() for part in vectors)) if vectors and row in first else None,
                )


def _scorer(model: Reranker, *, vectors: bool) -> Callable[[Mapping[str, Any]], tuple[Any, ...]]:
    """Return a function of a batch's inputs: relevance, logits in the list, and the three vectors of ESAN."""

    @tf.function(input_signature=[model.input_signature()], autograph=False)  # type: ignore[untyped-decorator]
    def score(inputs: Mapping[str, Any]) -> tuple[Any, ...]:
        read = model.read(inputs)
        more = model.ranker.card_vectors(read) if vectors else ()
        return (model.rank(read), model.rank_shown(read), *more)

    return score  # type: ignore[no-any-return]
