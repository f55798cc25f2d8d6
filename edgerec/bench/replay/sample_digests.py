"""Compare the samples of replayed logs with those of the logs that devices sent."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

from edgerec.data.samples import SPLITS, Samples, Shard
from edgerec.features.behaviours import BEHAVIOUR_KINDS
from edgerec.features.encoded import FIELDS, Encoded


def sample_digests(samples: Samples) -> dict[int, bytes]:
    """Return a digest of each request's sample by request ID.

    The digest covers everything that training reads: the candidates with their values, the labels, the context, and
    the known behaviours from the start of the recurrence on, with their times and actions.
    """
    digests: dict[int, bytes] = {}
    for split in SPLITS:
        for number in range(len(samples.head.shards)):
            digests.update(_of_shard(samples.shard(number, split)))
    return digests


def _of_shard(shard: Shard) -> Iterator[tuple[int, bytes]]:
    requests = shard.requests
    for index in range(len(requests)):
        hashed = hashlib.blake2b(digest_size=16)

        def add(*arrays: np.ndarray, hashed: hashlib.blake2b = hashed) -> None:
            for array in arrays:
                hashed.update(f"{array.dtype} {array.shape}".encode())
                hashed.update(np.ascontiguousarray(array).tobytes())

        listed = slice(requests.offsets[index], requests.offsets[index + 1])
        add(requests.time[index : index + 1], requests.row[listed], requests.label[listed])
        add(*_arrays(requests.item, listed), *_arrays(requests.relations, listed))
        add(*_arrays(requests.context, slice(index, index + 1)))
        for kind in BEHAVIOUR_KINDS:
            begin, end = requests.known(kind)[index]
            start = requests.start(kind)[index]
            behaviours, rows = shard.behaviours(kind), slice(start, end)
            add(np.array([end - begin, end - start]), behaviours.time[rows], behaviours.row[rows])
            add(*_arrays(behaviours.action, rows), *_arrays(behaviours.item, rows))
        yield int(requests.request_id[index]), hashed.digest()


def _arrays(encoded: Encoded, rows: slice) -> Iterator[np.ndarray]:
    return (getattr(encoded, field)[rows] for field in FIELDS)
