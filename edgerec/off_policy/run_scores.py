"""The scores of a run's model for the candidates of requests, computed by Keras. This imports TensorFlow."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl

from edgerec.core.console import stage
from edgerec.core.errors import LogsError
from edgerec.data.build_samples import write_samples
from edgerec.data.samples import TEST
from edgerec.data.schema import ITEM_ID, REQUEST_ID
from edgerec.model.request_logits import request_logits
from edgerec.model.runs import load_run
from edgerec.off_policy.candidate_orders import Floats


def run_scores(logs: Path, run: Path, requests: pl.DataFrame) -> Floats:
    """Return the logits (candidates,) of all candidates, request by request.

    The logs become samples like those of the run (`edgerec samples --like`), so the model knows what it would have
    known at the time of each request.

    Raises:
        LogsError: the samples lack a request, or it has another number of candidates there.
        EdgeRecError: the run cannot be read, or the logs do not have its features.
    """
    with stage(f"run {run}"):
        loaded = load_run(run)
    with TemporaryDirectory(prefix="edgerec-off-policy-") as folder:
        with stage("samples"):
            samples = write_samples(logs, Path(folder) / "samples", like=run)
        with stage("score"):
            logits = dict(request_logits(loaded.model, samples, TEST, requests[REQUEST_ID].to_numpy()))
    scores = []
    for request, count in zip(requests[REQUEST_ID], requests[ITEM_ID].list.len(), strict=True):
        if request not in logits or len(logits[request]) != count:
            raise LogsError(f"logs: the samples of {logs} lack request {request}, or some of its candidates")
        scores.append(logits[request])
    return np.concatenate(scores).astype(np.float64)
