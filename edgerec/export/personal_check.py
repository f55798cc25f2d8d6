"""The parity check of patches: what a patch reads on a device must equal what it read in meta-training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from edgerec.bundle.golden import run_scored
from edgerec.core.errors import ConversionError
from edgerec.data.samples import TEST, Samples
from edgerec.device_runtime.device_model import DeviceModel
from edgerec.export.dense_requests import DenseRequests
from edgerec.export.parity import compare_numbers
from edgerec.export.real_requests import batches_of
from edgerec.export.split import SplitModel
from edgerec.kv.npz import Table
from edgerec.model.batches import make_batch
from edgerec.model.personalization.reading import activation_reader
from edgerec.model.reranker import Reranker
from edgerec.model.runs import Run
from edgerec.personalization.head import PersonalHead

REQUESTS = 200
"""Number of requests of the check."""


def check_head(head: PersonalHead, parts: SplitModel, run: Run) -> None:
    """Check that `head` reads the activations of the run's model.

    Raises:
        FormatError: it belongs to another version or reads other numbers.
    """
    head.check_model(
        run.head.version_id,
        hidden=parts.ranker.hidden_width or 0,
        candidate=run.model.settings.candidate_width,
    )


def check_activations(
    model: Reranker, samples: Samples, tables: Mapping[str, Table], device: DeviceModel, *, requests: int
) -> float:
    """Compare `Scored.hidden` and `Scored.candidates` with the activations from which `edgerec meta-train` learns.

    Args:
        model: the Keras model.
        samples: the samples with the requests.
        tables: the embedding tables from which the device's items come.
        device: the converted models.
        requests: number of requests, evenly spaced over the test period; at most `REQUESTS` are compared.

    Returns:
        The largest absolute difference of a number.

    Raises:
        CaseError: a difference is above `ALLOWED`. The error names the worst element.
        ConversionError: the ranker does not return its hidden layer.
    """
    function = activation_reader(model)
    dense = DenseRequests(samples, tables, matching=model.ranker.reads_matches)
    worst = 0.0
    for shard, rows in batches_of(samples, TEST, requests=min(requests, REQUESTS)):
        hidden, logits, candidates = (part.numpy() for part in function(make_batch(shard, rows).inputs))
        for index, row in enumerate(rows):
            count = int(shard.requests.offsets[row + 1] - shard.requests.offsets[row])
            case = replace(dense.case(shard, row, logits[index, :count]), hidden=hidden[index, :count])
            scored = run_scored(device, case, dense.windows(shard, row))
            where = f"request {shard.requests.request_id[row]}"
            if scored.hidden is None or scored.candidates is None:
                raise ConversionError("export: a ranker for patches should return its hidden layer")
            for what, found, expected in (
                ("the hidden layer", scored.hidden, hidden[index, :count]),
                ("the candidate vector", scored.candidates, candidates[index, :count]),
            ):
                worst = max(worst, compare_numbers("personal", what, found, expected, case=case, where=where))
    return worst
