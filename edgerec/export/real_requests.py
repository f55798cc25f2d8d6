"""The parity check on real requests: the device models and Keras rank the same requests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from edgerec.bundle.golden import run_case
from edgerec.bundle.manifest import Parity
from edgerec.core.console import progress
from edgerec.core.tolerance import Tolerance
from edgerec.data.samples import NOT_EXPOSED, TEST, Samples, Shard
from edgerec.device_runtime.device_model import DeviceModel
from edgerec.export.dense_requests import DenseRequests
from edgerec.export.parity import ALLOWED, RELATIVE, TOLERANCE, compare
from edgerec.kv.npz import Table
from edgerec.model.batches import make_batch
from edgerec.model.evaluation import traced
from edgerec.model.metrics import gauc
from edgerec.model.reranker import Reranker

Array = npt.NDArray[np.float32]
Name = TypeVar("Name", bound=str)

BATCH = 100


@dataclass(frozen=True)
class RealRequests:
    """The result of the parity check on real requests.

    Attributes:
        max_abs_error: largest absolute difference of a logit between MNN and Keras.
        requests: number of requests.
        orders_equal: number of requests that MNN and Keras ranked in the same order.
        gauc: GAUC by `keras` and by `mnn`; None if no request has both a clicked and an unclicked exposure.
    """

    max_abs_error: float
    requests: int
    orders_equal: int
    gauc: dict[str, float | None]


def check_real(
    model: Reranker, samples: Samples, tables: Mapping[str, Table], device: DeviceModel, *, requests: int
) -> RealRequests:
    """Compare the logits of MNN and Keras on real requests of the test period.

    MNN encodes the behaviours step by step. It reads features from the NumPy encoder.

    Args:
        model: the whole Keras model, which reads codes and full sequences.
        samples: the samples with the requests.
        tables: the trained embedding tables.
        device: the converted models.
        requests: number of requests, evenly spaced over the test period.

    Raises:
        CaseError: a difference is above `ALLOWED`. The error names the worst element.
    """
    results = step_through(model, samples, tables, {"real": device}, requests=requests, split=TEST, tolerance=ALLOWED)
    return results["real"]


def step_through(
    model: Reranker,
    samples: Samples,
    tables: Mapping[str, Table],
    devices: Mapping[Name, DeviceModel],
    *,
    requests: int,
    split: str,
    tolerance: Tolerance,
) -> dict[Name, RealRequests]:
    """Rank the same real requests with Keras and, step by step, with device models, and compare the logits.

    Args:
        model: the whole Keras model, which reads codes and full sequences.
        samples: the samples with the requests.
        tables: the embedding tables from which the devices' items come. Keras reads its own.
        devices: the converted models by name. Errors contain this name.
        requests: number of requests, at least one, evenly spaced over the period of `split`.
        split: the split of the samples.
        tolerance: the allowed difference of logits.

    Returns:
        The results by name of device.

    Raises:
        CaseError: a difference is above `tolerance`. The error names the worst element.
    """
    chosen = _chosen(samples, split, requests)
    function = traced(model)
    dense = DenseRequests(samples, tables, matching=model.ranker.reads_matches)
    worst, equal = dict.fromkeys(devices, 0.0), dict.fromkeys(devices, 0)
    groups: list[npt.NDArray[np.int64]] = []
    labels: list[npt.NDArray[np.uint8]] = []
    keras_scores: list[Array] = []
    scores: dict[Name, list[Array]] = {name: [] for name in devices}
    batches = progress(
        _batches(samples, chosen, split), what="batches of real requests", total=-(-len(chosen) // BATCH)
    )
    for shard, rows in batches:
        table = shard.requests
        expected = function(make_batch(shard, rows).inputs).numpy()
        for row, keras_row in zip(rows, expected, strict=True):
            candidates = slice(table.offsets[row], table.offsets[row + 1])
            keras_logits = keras_row[: candidates.stop - candidates.start]
            case = dense.case(shard, row, keras_logits)
            where = f"request {table.request_id[row]}"
            order = np.argsort(-keras_logits, kind="stable")
            label = table.label[candidates]
            exposed = label != NOT_EXPOSED
            for name, device in devices.items():
                logits = run_case(device, case, dense.windows(shard, row))
                error = compare(name, logits, case, where=where, tolerance=tolerance)
                worst[name] = max(worst[name], error)
                equal[name] += bool((np.argsort(-logits, kind="stable") == order).all())
                scores[name].append(logits[exposed])
            groups.append(np.full(exposed.sum(), table.request_id[row]))
            labels.append(label[exposed])
            keras_scores.append(keras_logits[exposed])
    if not len(chosen):
        return {name: RealRequests(0.0, 0, 0, {"keras": None, "mnn": None}) for name in devices}
    group, label = np.concatenate(groups), np.concatenate(labels)
    keras_gauc = _gauc(group, label, np.concatenate(keras_scores))
    return {
        name: RealRequests(
            max_abs_error=worst[name],
            requests=len(chosen),
            orders_equal=equal[name],
            gauc={"keras": keras_gauc, "mnn": _gauc(group, label, np.concatenate(scores[name]))},
        )
        for name in devices
    }


def batches_of(samples: Samples, split: str, *, requests: int) -> Iterator[tuple[Shard, npt.NDArray[np.int64]]]:
    """Yield `requests` of `split`, evenly spaced, in batches: a shard and rows of it."""
    return _batches(samples, _chosen(samples, split, requests), split)


def _chosen(samples: Samples, split: str, requests: int) -> npt.NDArray[np.int64]:
    total = samples.head.splits[split].requests
    return np.unique(np.linspace(0, total - 1, min(requests, total)).astype(np.int64))


def _batches(
    samples: Samples, chosen: npt.NDArray[np.int64], split: str
) -> Iterator[tuple[Shard, npt.NDArray[np.int64]]]:
    """Yield the requests `chosen` of `split` in batches. A batch is a shard and at most `BATCH` rows of that shard.

    `chosen` contains sorted indices. They count all requests of the split, in the order of the shards.
    """
    before = 0
    for number, entry in enumerate(samples.head.shards):
        count = entry.splits[split].requests
        rows = chosen[(chosen >= before) & (chosen < before + count)] - before
        before += count
        if len(rows):
            shard = samples.shard(number, split)
            for start in range(0, len(rows), BATCH):
                yield shard, rows[start : start + BATCH]


def _gauc(group: npt.NDArray[np.int64], label: npt.NDArray[np.uint8], scores: Array) -> float | None:
    value = gauc(group, label, scores.astype(np.float64))
    return None if np.isnan(value) else value


def summarise(checks: dict[str, float], real: RealRequests) -> Parity:
    """Return the results of all parity checks in the form of the manifest."""
    checks = {**checks, "real_mnn": real.max_abs_error}
    return Parity(
        max_abs_error=max(checks.values()),
        tolerance=TOLERANCE,
        relative_tolerance=RELATIVE,
        checks=checks,
        requests=real.requests,
        orders_equal=real.orders_equal,
    )
