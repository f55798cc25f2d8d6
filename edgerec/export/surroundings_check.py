"""The parity check of surroundings: the head that a device computes with NumPy must equal Keras."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgerec.bundle.golden import encode_case
from edgerec.core.errors import ConversionError
from edgerec.data.samples import TEST, Samples, Shard
from edgerec.device_runtime.device_model import DeviceModel
from edgerec.export.dense_requests import DenseRequests
from edgerec.export.parity import ALLOWED, compare
from edgerec.export.real_requests import batches_of
from edgerec.features.behaviours import EXPOSURE
from edgerec.kv.npz import Table
from edgerec.mixing.head import neighbour_vectors
from edgerec.mixing.surroundings import Surroundings
from edgerec.model.batches import MS_PER_HOUR, make_batch
from edgerec.model.evaluation import traced_in_list
from edgerec.model.reranker import SESSION_HOURS, Reranker

Ints = npt.NDArray[np.int64]

REQUESTS = 200
"""Number of requests of the check. Each has up to as many surroundings as candidates."""


def check_surroundings(
    model: Reranker, samples: Samples, tables: Mapping[str, Table], device: DeviceModel, *, requests: int
) -> float:
    """Compare the logits of Keras with those of the head, for real lists of the test period in the order shown.

    Args:
        model: the Keras model.
        samples: the samples with the requests.
        tables: the embedding tables from which the device's items come.
        device: the converted models.
        requests: number of requests, evenly spaced over the test period; at most `REQUESTS` are compared.

    Returns:
        The largest absolute difference of a logit.

    Raises:
        CaseError: a difference is above `ALLOWED`. The error names the worst element.
        ConversionError: the device's models have no head, or Keras has no surroundings.
    """
    column, head = model.card_kind_column, device.head
    if column is None or head is None:
        raise ConversionError("export: a model with surroundings should have a head and the kinds of cards")
    function = traced_in_list(model)
    dense = DenseRequests(samples, tables, matching=model.ranker.reads_matches)
    worst = 0.0
    for shard, rows in batches_of(samples, TEST, requests=min(requests, REQUESTS)):
        expected = function(make_batch(shard, rows).inputs).numpy()
        for row, keras_row in zip(rows, expected, strict=True):
            shown = shown_list(shard, row, column)
            case = dense.case(shard, row, keras_row[: len(shown.codes)])
            encodings = encode_case(device, case, dense.windows(shard, row))
            vectors = device.ranker.score_cards(case.candidates, **encodings, ids=case.candidate_ids).vectors
            if vectors is None:
                raise ConversionError("export: a ranker with surroundings should return the vectors of cards")
            logits = head.logits(neighbour_vectors(vectors), Surroundings.in_list(shown.codes, shown.seen))
            where = f"request {shard.requests.request_id[row]}"
            worst = max(worst, compare("surroundings", logits, case, where=where, tolerance=ALLOWED))
    return worst


@dataclass(frozen=True)
class ShownList:
    """The kinds of a list in the order shown, and of the cards that the user saw before it, as codes.

    This code does not use TensorFlow, so the parity check also tests how Keras reads them.
    """

    codes: Ints
    seen: Ints


def shown_list(shard: Shard, row: int, column: int) -> ShownList:
    """Return the list of the request at index `row` of `shard`. `column` is the column of the codes with the kind."""
    requests, exposures = shard.requests, shard.behaviours(EXPOSURE)
    codes = requests.item.codes[requests.offsets[row] : requests.offsets[row + 1], column]
    known = slice(*requests.known(EXPOSURE)[row])
    recent = ((requests.time[row] - exposures.time[known]) / MS_PER_HOUR).astype(np.float32) <= SESSION_HOURS
    seen = exposures.item.codes[known, column][recent]
    return ShownList(codes.astype(np.int64), seen.astype(np.int64))
