"""Evaluation: GAUC (eq. 12) with its interval, AUC, NDCG, log loss, and what a model has to beat."""

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
from edgerec.data.samples import NOT_EXPOSED, TEST, TRAIN, Requests, Samples
from edgerec.features.spec import Raw
from edgerec.model.batches import epoch
from edgerec.model.metrics import auc, gauc, log_loss, ndcg, request_aucs
from edgerec.model.reranker import Reranker
from edgerec.model.runs import Run

EVALUATION_BATCH = 512


@dataclass(frozen=True)
class Exposed:
    """The exposed candidates of a split, flat, in order of request and place.

    Attributes:
        group: (n,) the request of each.
        place: (n,) its place in the list.
        label: (n,) 0 or 1.
        which: (n,) its row among all candidates of the split.
    """

    group: NDArray[np.int64]
    place: NDArray[np.int64]
    label: NDArray[np.uint8]
    which: NDArray[np.int64]


def exposed(requests: Requests) -> Exposed:
    """The exposed candidates of `requests`."""
    which = np.flatnonzero(requests.label != NOT_EXPOSED)
    group = np.searchsorted(requests.offsets, which, side="right") - 1
    place = which - requests.offsets[group]
    return Exposed(group=group, place=place, label=np.asarray(requests.label[which]), which=which)


def traced(model: Reranker) -> Callable[[Mapping[str, Any]], Any]:
    """`model` as one traced function of its inputs; lists of any length share the trace."""
    function = tf.function(lambda inputs: model(inputs, training=False), input_signature=[model.input_signature()])
    return function  # type: ignore[no-any-return]


def score(
    function: Callable[[Mapping[str, Any]], Any], samples: Samples, requests: Requests, *, what: str = "evaluate"
) -> NDArray[np.float64]:
    """Logits (candidates,) of all candidates of `requests`, in their order."""
    logits = np.empty(len(requests.label))
    total = -(-len(requests) // EVALUATION_BATCH)
    for batch in progress(epoch(samples, requests, batch_size=EVALUATION_BATCH), what=what, total=total):
        scores = function(batch.inputs).numpy()
        begin, end = requests.offsets[batch.rows], requests.offsets[batch.rows + 1]
        valid = np.arange(scores.shape[1]) < (end - begin)[:, None]
        logits[(begin[:, None] + np.arange(scores.shape[1]))[valid]] = scores[valid]
    return logits


def evaluate(run: Run, samples: Samples, *, split: str = TEST, seed: int = 1) -> dict[str, Any]:
    """The document of `edgerec evaluate`: figures of the model on a split, and GAUC of the baselines beside it.

    Raises:
        SpecificationError: the samples were made with other features, vocabularies or limits than the run's.
        InputError: no request of the split has a clicked and an unclicked exposure.
    """
    check_fit(run, samples)
    requests = samples.splits[split]
    seen = exposed(requests)
    logits = score(traced(run.model), samples, requests)[seen.which]
    return {
        "version_id": run.head.version_id,
        "model": run.head.config.model,
        "split": split,
        **figures(seen, logits, seed=seed),
        "requests": len(requests),
        "impressions": len(seen.which),
        "baselines": baselines(samples, split, seed=seed),
    }


def figures(seen: Exposed, logits: NDArray[np.float64], *, seed: int) -> dict[str, Any]:
    """`gauc`, `gauc_ci95`, `auc`, `ndcg@5`, `ndcg@10`, `logloss` of the exposed candidates' logits (n,).

    Raises:
        InputError: no request has a clicked and an unclicked exposure.
    """
    aucs, impressions = request_aucs(seen.group, seen.label, logits)
    if not len(aucs):
        raise InputError(
            "evaluate: no request of this split has a clicked and an unclicked exposure: GAUC has no value"
        )
    return {
        "gauc": float(np.average(aucs, weights=impressions)),
        "gauc_ci95": list(bootstrap_weighted_mean(aucs, impressions, seed=seed)),
        "gauc_requests": len(aucs),
        "auc": auc(seen.label, logits),
        "ndcg@5": ndcg(seen.group, seen.label, logits, at=5),
        "ndcg@10": ndcg(seen.group, seen.label, logits, at=10),
        "logloss": log_loss(seen.label, logits),
    }


def baselines(samples: Samples, split: str, *, seed: int) -> dict[str, float]:
    """GAUC of rankers that learn nothing: chance, the order on offer, and the best single number of the items.

    The best single number, and whether more or less of it is better, is chosen on the training split.
    """
    requests = samples.splits[split]
    seen = exposed(requests)
    rng = np.random.default_rng(seed)
    found = {
        "random": gauc(seen.group, seen.label, rng.random(len(seen.which))),
        "base_order": gauc(seen.group, seen.label, -seen.place.astype(np.float64)),
    }
    training = samples.splits[TRAIN]
    chosen = exposed(training)
    numbers = [feature.name for feature in samples.head.spec.item if isinstance(feature, Raw)]
    best = (0.5, "", 0, 1.0)
    for column, name in enumerate(numbers):
        value = gauc(chosen.group, chosen.label, _number(training, chosen, column))
        # Sorting by the number's negative mirrors every request's AUC.
        for direction, reached in ((1.0, value), (-1.0, 1.0 - value)):
            if reached > best[0]:
                best = (reached, name, column, direction)
    if best[1]:
        value = gauc(seen.group, seen.label, best[3] * _number(requests, seen, best[2]))
        found[f"best_single:{'-' if best[3] < 0 else ''}{best[1]}"] = value
    return found


def evaluation_table(document: Mapping[str, Any]) -> Table:
    """`evaluate`'s document as people read it."""
    low, high = document["gauc_ci95"]
    rows = [
        ("model", f"{document['model']} {document['version_id']}"),
        ("split", f"{document['split']}: {document['requests']:,} requests, {document['impressions']:,} impressions"),
        ("GAUC", f"{document['gauc']:.4f}  (95 % interval {low:.4f} to {high:.4f})"),
        *((name, f"{document[key]:.4f}") for name, key in _SHOWN),
        *((f"GAUC of {name}", f"{value:.4f}") for name, value in document["baselines"].items()),
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


def _number(requests: Requests, seen: Exposed, column: int) -> NDArray[np.float64]:
    return np.asarray(requests.item.numbers[seen.which, column], dtype=np.float64)
