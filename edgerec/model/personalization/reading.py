"""Read activations: run the shared model over the requests of samples."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edgerec.core.console import progress
from edgerec.core.errors import InputError
from edgerec.data.samples import NOT_EXPOSED, Samples, Shard
from edgerec.model.batches import make_batch
from edgerec.model.personalization.activations import Activations
from edgerec.model.reranker import Reranker
from edgerec.model.run_head import check_samples
from edgerec.model.runs import Run

BATCH = 100
USERS = 5000
"""Default number of users. Memory grows with the exposures of these users, and with nothing else."""

Reader = Callable[[Mapping[str, Any]], tuple[Any, Any, Any]]


def read_activations(
    run: Run, samples: Samples, splits: Sequence[str], *, users: int = USERS, seed: int = 1
) -> Activations:
    """Return the activations of the labelled exposures of some users.

    Args:
        run: the trained model.
        samples: its samples.
        splits: the splits to read.
        users: the largest number of users. If there are more, the seed chooses them.
        seed: the seed.

    Raises:
        SpecificationError: the samples are not those of the run.
        ConversionError: the ranker has no hidden layer for patches.
        InputError: the splits have no labelled exposure.
        FormatError: a shard is missing or damaged.
    """
    check_samples(run.head, run.vocabularies, samples)
    chosen = _chosen(samples, splits, users=users, seed=seed)
    total = sum(entry.splits[split].requests > 0 for split in splits for entry in samples.head.shards)
    shards = (shard for split in splits for shard in samples.shards(split))
    parts: list[dict[str, NDArray[Any]]] = []
    requests, function = 0, activation_reader(run.model)
    for shard in progress(shards, what="read activations", total=total):
        for part in _parts(function, shard, chosen, requests):
            requests = int(part["request"].max(initial=requests - 1)) + 1
            parts.append(part)
    if not parts:
        raise InputError(f"personalize: {samples.path} has no labelled exposure in {' and '.join(splits)}")
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    parts.clear()
    return _sorted(joined, hidden=joined["values"].shape[1] - run.model.settings.candidate_width)


def _chosen(samples: Samples, splits: Sequence[str], *, users: int, seed: int) -> NDArray[np.int64]:
    found = [np.unique(requests.user) for split in splits for requests in samples.requests(split)]
    known = np.unique(np.concatenate(found)) if found else np.empty(0, np.int64)
    if len(known) <= users:
        return known
    digests = [hashlib.sha256(f"{seed}/{user}".encode()).digest() for user in known.tolist()]
    return np.sort(known[sorted(range(len(known)), key=digests.__getitem__)[:users]])


def _parts(function: Reader, shard: Shard, chosen: NDArray[np.int64], first: int) -> Iterator[dict[str, NDArray[Any]]]:
    """Yield the labelled exposures of a shard, batch by batch. `first` is the number of the next request."""
    requests = shard.requests
    rows = np.flatnonzero(np.isin(requests.user, chosen))
    for start in range(0, len(rows), BATCH):
        own = rows[start : start + BATCH]
        hidden, logit, candidate = (part.numpy() for part in function(make_batch(shard, own).inputs))
        index, place, item, label = _labelled(requests.offsets, requests.row, requests.label, own)
        if not len(index):
            continue
        yield {
            "user": requests.user[own][index],
            "page": requests.page[own][index],
            "time": requests.time[own][index],
            "request": first + index,
            "place": place,
            "item": item,
            "label": label,
            "logit": logit[index, place].astype(np.float64),
            "values": np.concatenate([hidden[index, place], candidate[index, place]], axis=1),
        }
        first += len(own)


def _labelled(
    offsets: NDArray[np.int64], item: NDArray[np.int32], label: NDArray[np.uint8], rows: NDArray[np.int64]
) -> tuple[NDArray[Any], ...]:
    """Return request (as an index of `rows`), place, item and label of each exposed candidate of some requests."""
    found: list[tuple[NDArray[Any], ...]] = []
    for index, row in enumerate(rows.tolist()):
        where = slice(int(offsets[row]), int(offsets[row + 1]))
        place = np.flatnonzero(label[where] != NOT_EXPOSED)
        found.append((np.full(len(place), index), place, item[where][place], label[where][place]))
    return tuple(np.concatenate(each) for each in zip(*found, strict=True))


def activation_reader(model: Reranker) -> Reader:
    """Return a traced function of a batch's inputs: hidden layer, logits, and vectors of the scored candidates."""

    @tf.function(input_signature=[model.input_signature()], autograph=False)  # type: ignore[untyped-decorator]
    def read(inputs: Mapping[str, Any]) -> tuple[Any, Any, Any]:
        found = model.read(inputs)
        hidden, logits = model.hidden_and_logits(found)
        return hidden, logits, tf.gather(found.candidates, found.scored, batch_dims=1)

    return read  # type: ignore[no-any-return]


def _sorted(arrays: dict[str, NDArray[Any]], *, hidden: int) -> Activations:
    """Sort exposures by user, time of the page, page, time and place, and mark where each is latest."""
    keys = np.stack([arrays["user"], arrays["page"]])
    _, page = np.unique(keys, axis=1, return_inverse=True)
    page = page.reshape(-1)
    begins = np.full(page.max() + 1, np.iinfo(np.int64).max)
    np.minimum.at(begins, page, arrays["time"])
    order = np.lexsort((arrays["place"], arrays["request"], arrays["time"], page, begins[page], arrays["user"]))
    latest = np.zeros(len(page), np.bool_)
    # Sorted by page and item, equal ones in order of time: the last one of equal ones is the latest.
    by_item = np.lexsort((arrays["request"], arrays["time"], arrays["item"], page))
    item, own = arrays["item"][by_item], page[by_item]
    latest[by_item] = np.append((item[1:] != item[:-1]) | (own[1:] != own[:-1]), True)
    return Activations(
        user=arrays["user"][order],
        page_time=begins[page][order],
        page=page[order].astype(np.int64),
        request=arrays["request"][order].astype(np.int64),
        latest=latest[order],
        label=arrays["label"][order],
        logit=arrays["logit"][order],
        values=arrays["values"][order].astype(np.float32),
        hidden=hidden,
    )
