"""Evaluation: GAUC (eq. 12) with its interval, AUC, NDCG, log loss, beside what a model has to beat."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from rich.table import Table

from edgerec.core.console import progress, table_of
from edgerec.core.errors import InputError, SpecificationError
from edgerec.core.statistics import bootstrap_weighted_mean
from edgerec.data.samples import TEST, Samples
from edgerec.model.baselines import NO_PAIR, baselines_document, shown
from edgerec.model.batches import epoch
from edgerec.model.metrics import auc, log_loss, ndcg, request_aucs
from edgerec.model.reranker import Reranker
from edgerec.model.runs import Run

EVALUATION_BATCH = 512


@dataclass(frozen=True)
class Scored:
    """The exposed candidates of a split with their scores: all of it that metrics need.

    Attributes:
        group: (n,) the request of each; requests are in no order.
        label: (n,) 0 or 1; of one request, in order of place.
        logit: (n,).
    """

    group: NDArray[np.int64]
    label: NDArray[np.uint8]
    logit: NDArray[np.float64]


def traced(model: Reranker) -> Callable[[Mapping[str, Any]], Any]:
    """`model` as one traced function of its inputs; lists of any length share the trace."""
    function = tf.function(lambda inputs: model(inputs, training=False), input_signature=[model.input_signature()])
    return function  # type: ignore[no-any-return]


def score(
    function: Callable[[Mapping[str, Any]], Any], samples: Samples, split: str, *, what: str = "evaluate"
) -> Scored:
    """Logits of the exposed candidates of a split, of which memory holds a group of shards at a time."""
    total = -(-samples.head.splits[split].requests // EVALUATION_BATCH)
    group, label, logit = [np.empty(0, np.int64)], [np.empty(0, np.uint8)], [np.empty(0)]
    for batch in progress(epoch(samples, split, batch_size=EVALUATION_BATCH), what=what, total=total):
        scores = function(batch.inputs).numpy()
        seen = batch.weight > 0
        group.append(batch.rows[seen.nonzero()[0]])
        label.append(batch.label[seen].astype(np.uint8))
        logit.append(scores[seen].astype(np.float64))
    return Scored(np.concatenate(group), np.concatenate(label), np.concatenate(logit))


def evaluate(
    run: Run, samples: Samples, *, split: str = TEST, oracle: Mapping[str, float] | None = None, seed: int = 1
) -> dict[str, Any]:
    """The document of `edgerec evaluate`: figures of the model on a split, and GAUC of the baselines beside it.

    Args:
        run: the trained model.
        samples: what it ranks.
        split: of them.
        oracle: GAUC of further rankers, by name, to stand among the baselines.
        seed: of the baseline `random` and of the bootstrap.

    Raises:
        SpecificationError: the samples were made with other features, vocabularies or limits than the run's.
        InputError: no request of the split has a clicked and an unclicked exposure.
        FormatError: a shard is missing or damaged.
    """
    check_fit(run, samples)
    scored = score(traced(run.model), samples, split)
    return {
        "version_id": run.head.version_id,
        "model": run.head.config.model,
        **figures(scored, seed=seed),
        **baselines_document(samples, split, oracle=oracle, seed=seed),
    }


def figures(scored: Scored, *, seed: int) -> dict[str, Any]:
    """`gauc`, `gauc_ci95`, `auc`, `ndcg@5`, `ndcg@10`, `logloss` of scored candidates.

    Raises:
        InputError: no request has a clicked and an unclicked exposure.
    """
    group, label, logit = scored.group, scored.label, scored.logit
    aucs, impressions = request_aucs(group, label, logit)
    if not len(aucs):
        raise InputError(NO_PAIR)
    return {
        "gauc": float(np.average(aucs, weights=impressions)),
        "gauc_ci95": list(bootstrap_weighted_mean(aucs, impressions, seed=seed)),
        "gauc_requests": len(aucs),
        "auc": auc(label, logit),
        "ndcg@5": ndcg(group, label, logit, at=5),
        "ndcg@10": ndcg(group, label, logit, at=10),
        "logloss": log_loss(label, logit),
    }


def evaluation_table(document: Mapping[str, Any]) -> Table:
    """`evaluate`'s document as people read it."""
    low, high = document["gauc_ci95"]
    rows = [
        ("model", f"{document['model']} {document['version_id']}"),
        ("GAUC", f"{document['gauc']:.4f}  (95 % interval {low:.4f} to {high:.4f})"),
        *((name, f"{document[key]:.4f}") for name, key in _SHOWN),
        *shown(document),
    ]
    return table_of(("", ""), rows, header=False)


_SHOWN = (("AUC", "auc"), ("NDCG@5", "ndcg@5"), ("NDCG@10", "ndcg@10"), ("log loss", "logloss"))


def check_fit(run: Run, samples: Samples) -> None:
    """Refuse samples that the run's model would misread.

    Raises:
        SpecificationError: other features, vocabularies or limits than the run's.
    """
    head = run.head
    if samples.head.spec != head.spec:
        raise SpecificationError(
            f"samples {samples.head.name!r} were made with other features than run {head.version_id}: "
            "make them from the same logs and specification, or train again"
        )
    if samples.head.limits != head.limits:
        raise SpecificationError(
            f"samples {samples.head.name!r} were made with {samples.head.limits}, run {head.version_id} with "
            f"{head.limits}: make them with the same limits, or train again"
        )
    for name, vocabulary in run.vocabularies.items():
        if not np.array_equal(vocabulary.keys, samples.vocabularies[name].keys):
            raise SpecificationError(
                f"samples {samples.head.name!r} have another vocabulary of {name} than run {head.version_id}: "
                "make them from the same logs and periods, or train again"
            )
