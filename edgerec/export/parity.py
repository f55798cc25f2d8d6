"""The proof: Keras = ONNX = MNN, on signed random inputs of every length and on real requests."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from edgerec.bundle.golden import GoldenCase, run_case
from edgerec.bundle.manifest import Parity
from edgerec.core.console import progress
from edgerec.core.errors import ParityError
from edgerec.core.tolerance import Tolerance, absolute_difference
from edgerec.data.samples import NOT_EXPOSED, TEST, Samples, Shard
from edgerec.data.shards import EXPOSURES, PAGE_VIEWS
from edgerec.device_runtime.device_model import DeviceModel
from edgerec.export.dense_requests import DenseRequests
from edgerec.export.onnx_device import OnnxDevice
from edgerec.export.split import number_columns
from edgerec.features.behaviours import Limits
from edgerec.kv.npz import Table
from edgerec.model.batches import make_batch
from edgerec.model.crban import Crban
from edgerec.model.crban_plus import CrbanPlus
from edgerec.model.dlcm import Dlcm
from edgerec.model.dnn_rank import DnnRank
from edgerec.model.evaluation import traced
from edgerec.model.metrics import gauc
from edgerec.model.reranker import ENCODER, Reranker

Array = npt.NDArray[np.float32]
Name = TypeVar("Name", bound=str)

TOLERANCE = 1e-4
"""On logits. Rounding alone stays near 1e-6 for trained weights; exchanged layers, gates or signs, or a tensor off by
1 %, are far beyond."""
RELATIVE = 5e-6
"""Of a logit's own size, on top of it. Each addition in float32 rounds by up to 6e-8 of the sum, and the layers before
a logit add up 64 numbers or so, in an order of each engine's own. Sound models stay below 4e-7, up to logits of 1e7."""
ALLOWED = Tolerance(TOLERANCE, RELATIVE)
SEEDS = (1, 2, 3)
SPREADS = (1.0, 3.0)
"""Standard deviations of random inputs: as features are, and far outside."""
UNBOUNDED = Tolerance(float(np.finfo(np.float32).max))
"""A tolerance of what is measured and not held: any difference, as long as it is a number."""
BATCH = 100
LONG = 1000
"""Behaviours of a kind through which the state runs on in the proof of long recurrences."""


class CaseError(ParityError):
    """A request that is scored otherwise.

    Attributes:
        case: its inputs, and Keras' logits.
    """

    def __init__(self, said: str, case: GoldenCase) -> None:
        super().__init__(said)
        self.case = case


@dataclass(frozen=True)
class RealRequests:
    """What real requests showed.

    Attributes:
        max_abs_error: largest difference of logits between MNN and Keras.
        requests: how many were stepped through.
        orders_equal: how many of them were ranked alike.
        gauc: by `keras` and by `mnn`; none where no request has a clicked and an unclicked exposure.
    """

    max_abs_error: float
    requests: int
    orders_equal: int
    gauc: dict[str, float | None]


def random_cases(model: Reranker, limits: Limits, *, seed: int, spread: float) -> list[GoldenCase]:
    """Signed random requests with sequences of 0, 1, 2, typical and maximal length, in all combinations.

    Their logits are Keras', over whole sequences.
    """
    rng = np.random.default_rng(seed)
    lengths = itertools.product(
        _lengths(limits.exposures, 0), _lengths(limits.page_views, 0), _lengths(limits.candidates, 1)
    )
    cases = [_drawn(model, rng, *each, spread=spread) for each in lengths]
    logits = _keras_logits(model, cases, limits)
    return [replace(case, logits=found) for case, found in zip(cases, logits, strict=True)]


def long_case(model: Reranker, limits: Limits, *, steps: int, seed: int = 1) -> GoldenCase:
    """A signed random request after `steps` behaviours of each kind, of which the ranker reads the latest.

    Its logits are Keras': recurrences over all of them at once, attention over the window.
    """
    case = _drawn(model, np.random.default_rng(seed), steps, steps, limits.candidates, spread=1.0)
    (logits,) = _keras_logits(model, [case], limits)
    return replace(case, logits=logits)


def _drawn(
    model: Reranker, rng: np.random.Generator, exposures: int, page_views: int, candidates: int, *, spread: float
) -> GoldenCase:
    """A signed random request of these lengths, its logits still zeros."""

    def draw(length: int, width: int) -> Array:
        return (rng.normal(size=(length, width)) * spread).astype(np.float32)

    item = model.item_embedding.width
    met: dict[str, Any] = {}
    if isinstance(model.ranker, CrbanPlus):
        # Identities of which many are met again, some of them unknown; and ages of minutes to days.
        lengths = {"exposure": exposures, "page_view": page_views}
        shapes = {name: (length, 1 + len(model.rows)) for name, length in {**lengths, "candidate": candidates}.items()}
        met = {f"{name}_ids": rng.integers(-1, 8, shape) for name, shape in shapes.items()}
        for name, length in lengths.items():
            met[f"{name}_age"] = np.sort(rng.exponential(20.0 * spread, length))[::-1].astype(np.float32)
    return GoldenCase(
        exposure_action=draw(exposures, model.exposure_action.width),
        exposure_item=draw(exposures, item),
        page_view_action=draw(page_views, model.page_view_action.width),
        page_view_item=draw(page_views, item),
        candidates=draw(candidates, item),
        logits=np.zeros(candidates, np.float32),
        **met,
    )


def _lengths(limit: int, least: int) -> list[int]:
    return sorted({length for length in (least, 1, 2, (limit + 1) // 2, limit) if least <= length <= limit})


def _keras_logits(model: Reranker, cases: list[GoldenCase], limits: Limits) -> list[Array]:
    """Keras' logits for dense requests, as one right-padded batch through HUBSM and CRBAN.

    Of sequences beyond the limits the ranker reads the latest; they have to be of one length.
    """
    padded: dict[str, Any] = {}
    lengths: dict[str, Any] = {}
    for name in ("exposure_action", "exposure_item", "page_view_action", "page_view_item", "candidates"):
        arrays = [getattr(case, name) for case in cases]
        lengths[name] = tf.constant([len(array) for array in arrays], tf.int32)
        dense = np.zeros((len(cases), max(2, *(len(a) for a in arrays)), arrays[0].shape[1]), np.float32)
        for row, array in zip(dense, arrays, strict=True):
            row[: len(array)] = array
        padded[name] = tf.constant(dense)
    longest = padded["candidates"].shape[1]
    scored = tf.tile(tf.range(longest)[None, :], (len(cases), 1))
    window, behaviours = {}, {}
    for kind, name in ((EXPOSURES, "exposure"), (PAGE_VIEWS, "page_view")):
        if kind not in model.kinds:
            continue
        steps, limit = padded[f"{name}_action"].shape[1], getattr(limits, kind)
        # Shorter sequences are padded, to two steps at least.
        window[kind] = limit if int(tf.reduce_max(lengths[f"{name}_action"])) > limit else steps
        encoder: Any = getattr(model, ENCODER[kind])
        if window[kind] < steps:
            # Keras' own loop over a thousand steps takes half a minute.
            encoder = tf.function(encoder)
        fused = encoder(padded[f"{name}_action"], padded[f"{name}_item"])
        behaviours[kind] = (fused[:, -window[kind] :], tf.minimum(lengths[f"{name}_action"], window[kind]))
    if isinstance(model.ranker, DnnRank):
        logits = model.ranker(padded["candidates"], scored).numpy()
    elif isinstance(model.ranker, Dlcm):
        logits = model.ranker(padded["candidates"], lengths["candidates"], scored).numpy()
    elif isinstance(model.ranker, Crban):
        logits = model.ranker(padded["candidates"], lengths["candidates"], scored, behaviours).numpy()
    else:
        met = {
            kind: _met(cases, name, longest, window[kind])
            for kind, name in ((EXPOSURES, "exposure"), (PAGE_VIEWS, "page_view"))
        }
        numbers = tf.gather(padded["candidates"], number_columns(model), axis=2)
        logits = model.ranker(padded["candidates"], numbers, lengths["candidates"], scored, behaviours, met).numpy()
    return [row[: len(case.candidates)] for row, case in zip(logits, cases, strict=True)]


def _met(cases: list[GoldenCase], name: str, candidates: int, steps: int) -> tuple[Any, Any]:
    """Matches (batch, identities, k, time) and ages (batch, time) of one kind of behaviour, as CRBAN+ reads them."""
    identities = cases[0].candidate_ids.shape[1]  # type: ignore[union-attr]
    match = np.zeros((len(cases), identities, candidates, steps), np.float32)
    age = np.zeros((len(cases), steps), np.float32)
    for at, case in enumerate(cases):
        theirs, ages = getattr(case, f"{name}_ids")[-steps:], getattr(case, f"{name}_age")[-steps:]
        age[at, : len(ages)] = ages
        for place, mine in enumerate(case.candidate_ids):  # type: ignore[arg-type]
            match[at, :, place, : len(theirs)] = ((theirs == mine) & (theirs >= 0)).T
    return tf.constant(match), tf.constant(age)


def check_random(cases: Iterable[GoldenCase], device: DeviceModel, onnx_device: OnnxDevice) -> dict[str, float]:
    """Run `cases` by MNN and by ONNX Runtime, step by step, and hold both to Keras.

    Returns:
        The largest absolute difference of logits: `random_mnn`, `random_onnx`.

    Raises:
        CaseError: a difference above `ALLOWED`, with the worst element.
    """
    runners: dict[str, Callable[[GoldenCase], Array]] = {
        "random_mnn": lambda case: run_case(device, case),
        "random_onnx": onnx_device.score,
    }
    worst = dict.fromkeys(runners, 0.0)
    for case in cases:
        for name, run in runners.items():
            where = f"{len(case.exposure_action)} exposures, {len(case.page_view_action)} page-views"
            worst[name] = max(worst[name], compare(name, run(case), case, where=where))
    return worst


def compare(check: str, found: Array, case: GoldenCase, *, where: str, tolerance: Tolerance = ALLOWED) -> float:
    """The largest absolute difference of logits (c,) from those of `case`.

    Raises:
        CaseError: it is above `tolerance`, or a value is no number.
    """
    expected = case.logits
    if found.shape != expected.shape:
        raise CaseError(f"parity {check} ({where}): {found.shape} logits instead of {expected.shape}", case)
    error = absolute_difference(found, expected)
    at = tolerance.worst_index(found, expected)
    if at is not None:
        raise CaseError(
            f"parity {check} ({where}): candidate {at} of {len(expected)} scores {found[at]:.7g} instead of "
            f"{expected[at]:.7g}, {error[at]:.2g} apart; {tolerance.allowed(expected)[at]:.2g} is allowed",
            case,
        )
    return float(error.max())


def check_real(
    model: Reranker, samples: Samples, tables: Mapping[str, Table], device: DeviceModel, *, requests: int
) -> RealRequests:
    """Step MNN through real test requests, features by the numpy encoder, and hold the scores to Keras'.

    Args:
        model: the whole Keras model, which reads codes and full sequences.
        samples: where the requests are.
        tables: the embedding tables, with the rows that the model was trained to.
        device: the converted models.
        requests: how many, spread evenly over the test period.

    Raises:
        CaseError: a difference above `ALLOWED`, with the worst element.
    """
    found = step_through(model, samples, tables, {"real": device}, requests=requests, split=TEST, tolerance=ALLOWED)
    return found["real"]


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
    """Step several devices' models through the same real requests, beside Keras.

    Args:
        model: the whole Keras model, which reads codes and full sequences.
        samples: where the requests are.
        tables: the embedding tables as the devices' items come with them; Keras reads its own.
        devices: converted models, by the name that an error gives them.
        requests: how many, spread evenly over the period of `split`; one at least.
        split: of the samples.
        tolerance: on logits.

    Returns:
        By name of device.

    Raises:
        CaseError: a difference above `tolerance`, with the worst element.
    """
    total = samples.head.splits[split].requests
    chosen = np.unique(np.linspace(0, total - 1, min(requests, total)).astype(np.int64))
    function = traced(model)
    dense = DenseRequests(samples, tables, matching=isinstance(model.ranker, CrbanPlus))
    worst, equal = dict.fromkeys(devices, 0.0), dict.fromkeys(devices, 0)
    groups: list[npt.NDArray[np.int64]] = []
    labels: list[npt.NDArray[np.uint8]] = []
    keras_scores: list[Array] = []
    scores: dict[Name, list[Array]] = {name: [] for name in devices}
    batches = progress(_batches(samples, chosen, split), what="real requests", total=-(-len(chosen) // BATCH))
    for shard, rows in batches:
        asked = shard.requests
        expected = function(make_batch(shard, rows).inputs).numpy()
        for row, keras_row in zip(rows, expected, strict=True):
            candidates = slice(asked.offsets[row], asked.offsets[row + 1])
            keras_logits = keras_row[: candidates.stop - candidates.start]
            case = dense.case(shard, row, keras_logits)
            where = f"request {asked.request_id[row]}"
            order = np.argsort(-keras_logits, kind="stable")
            label = asked.label[candidates]
            seen = label != NOT_EXPOSED
            for name, device in devices.items():
                found = run_case(device, case)
                error = compare(name, found, case, where=where, tolerance=tolerance)
                worst[name] = max(worst[name], error)
                equal[name] += bool((np.argsort(-found, kind="stable") == order).all())
                scores[name].append(found[seen])
            groups.append(np.full(seen.sum(), asked.request_id[row]))
            labels.append(label[seen])
            keras_scores.append(keras_logits[seen])
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


def _batches(
    samples: Samples, chosen: npt.NDArray[np.int64], split: str
) -> Iterator[tuple[Shard, npt.NDArray[np.int64]]]:
    """The requests `chosen` of `split` (ascending places in the order of shards): rows of a shard, `BATCH` at most."""
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
    """All figures as they stand in the manifest."""
    checks = {**checks, "real_mnn": real.max_abs_error}
    return Parity(
        max_abs_error=max(checks.values()),
        tolerance=TOLERANCE,
        relative_tolerance=RELATIVE,
        checks=checks,
        requests=real.requests,
        orders_equal=real.orders_equal,
    )
