"""Measure size, rounding error and latency of the device models in each precision, and choose one precision."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from edgerec.bundle.golden import GoldenCase, encode_case, run_scored
from edgerec.bundle.layout import DEVICE
from edgerec.bundle.load import load_device_model
from edgerec.bundle.manifest import MAX_TOLERANCE, PRECISIONS, Parity, Precision, PrecisionRow
from edgerec.core.console import log
from edgerec.core.errors import InputError, ParityError
from edgerec.data.samples import VALIDATION, Samples
from edgerec.device_runtime.device_model import DeviceModel
from edgerec.export.parity import TOLERANCE, UNBOUNDED, compare, compare_hidden
from edgerec.export.real_requests import RealRequests, step_through
from edgerec.kv.npz import Table
from edgerec.kv.shard_writer import TableDtype
from edgerec.model.reranker import Reranker

Wanted = Literal["fp32", "fp16", "int8", "auto"]

GAUC_TOLERANCE: Mapping[Wanted, float] = {"fp32": 1e-4, "fp16": 5e-4, "int8": 2e-3, "auto": 5e-4}
"""Default of the allowed difference between the GAUC of MNN and that of Keras."""
ROUNDS, STEPS, RERANKS = 15, 20, 4
"""For the measurement of latencies: the number of rounds, and the steps and re-ranks of each precision in a round.

Each round measures every precision, one after the other.
"""


@dataclass(frozen=True)
class Latency:
    """The time of a call of the runtime on this machine. It is a rough measurement and not a benchmark.

    Attributes:
        rerank_p50_us: median time of `DeviceRanker.score` with all lengths at their limits, in microseconds.
        step_p50_us: median time of `HubsmStepper.step`, in microseconds. The step is that of an exposure, or of a
            page-view if the model reads no exposures. None if it reads no behaviours.
    """

    rerank_p50_us: float
    step_p50_us: float | None


@dataclass(frozen=True)
class PrecisionResult:
    """The measurements of one precision.

    Attributes:
        row: the measurements that the manifest contains.
        random: largest difference of a logit from Keras' logit on random cases. `row.drift` includes real requests.
        latency: the latencies. The manifest does not contain them, because they change from export to export.
        hidden: largest difference of a number of the hidden layer on random cases; None if no model returns it.
    """

    row: PrecisionRow
    random: float
    latency: Latency
    hidden: float | None = None

    def document(self) -> dict[str, Any]:
        """Return the measurements that the command prints."""
        return {**self.row.model_dump(), **asdict(self.latency)}


def precisions_of(wanted: Wanted) -> tuple[Precision, ...]:
    """Return the precisions to convert: fp32, which the parity check needs, and those that `wanted` names."""
    if wanted == "auto":
        return PRECISIONS
    return ("fp32",) if wanted == "fp32" else ("fp32", wanted)


def check_tolerance(tolerance: float | None) -> None:
    """Check that a tolerance of GAUC is None or a finite number of at least 0.

    Raises:
        InputError: the tolerance is negative, infinite or NaN.
    """
    if tolerance is not None and not 0 <= tolerance < math.inf:
        raise InputError(f"export: --gauc-tolerance should be a finite number of at least 0; received {tolerance}")


def as_stored(tables: Mapping[str, Table], dtype: TableDtype) -> dict[str, Table]:
    """Return the tables with the rows that a server returns. The rows are rounded if `dtype` is `float16`."""

    def rounded(rows: Any) -> Any:
        return rows.astype(dtype).astype(np.float32)

    return {name: Table(table.keys, rounded(table.values), rounded(table.unknown)) for name, table in tables.items()}


def measure(
    model: Reranker,
    samples: Samples,
    tables: Mapping[str, Table],
    folders: Mapping[Precision, Path],
    cases: Sequence[GoldenCase],
    *,
    requests: int,
) -> dict[Precision, PrecisionResult]:
    """Measure the size, the largest difference of a logit, the difference of GAUC and the latency of each precision.

    Args:
        model: the trained model.
        samples: the samples with the requests.
        tables: the embedding tables as a server returns them (`as_stored`). Keras reads its own.
        folders: the folder with the device half in each precision.
        cases: random requests with the logits of Keras. In the last one, every sequence has its maximal length.
        requests: number of validation requests to compare, evenly spaced over the validation period.

    Returns:
        The results by precision, `fp32` first. A precision is left out, with a line in the log, if one of its logits is
        NaN or infinite.
    """
    devices: dict[Precision, DeviceModel] = {}
    random: dict[Precision, tuple[float, float | None]] = {}
    for name, folder in folders.items():
        device = load_device_model(folder)
        try:
            random[name] = random_drift(name, device, cases)
        except ParityError as error:
            log(f"{name} is left out: {error}")
            continue
        devices[name] = device
    real = step_through(model, samples, tables, devices, requests=requests, split=VALIDATION, tolerance=UNBOUNDED)
    latencies = _latencies(devices, cases[-1])
    return {
        name: PrecisionResult(
            row=PrecisionRow(
                device_bytes=sum(path.stat().st_size for path in (folders[name] / DEVICE).iterdir()),
                drift=max(random[name][0], real[name].max_abs_error),
                gauc_difference=_difference(real[name]),
            ),
            random=random[name][0],
            latency=latencies[name],
            hidden=random[name][1],
        )
        for name in devices
    }


def random_drift(name: str, device: DeviceModel, cases: Iterable[GoldenCase]) -> tuple[float, float | None]:
    """Return the largest absolute difference between a logit of the device and that of the case.

    The second number is the same for the hidden layer, and None if the cases do not have it.

    Raises:
        ParityError: a number is NaN or infinite.
    """
    logits: list[float] = []
    hidden: list[float] = []
    for case in cases:
        scored = run_scored(device, case)
        logits.append(compare(name, scored.logits, case, where="random request", tolerance=UNBOUNDED))
        if case.hidden is not None:
            hidden.append(compare_hidden(name, scored.hidden, case, where="random request", tolerance=UNBOUNDED))
    return max(logits), max(hidden, default=None)


def choose(results: Mapping[Precision, PrecisionResult], wanted: Wanted, *, tolerance: float | None) -> Precision:
    """Choose the precision to export.

    Args:
        results: the results of `measure`.
        wanted: the user's choice. `auto` selects, among the precisions whose GAUC is within the tolerance, the one with
            the fewest bytes, or `fp32` if there is none.
        tolerance: the allowed difference of GAUC, or None for the default of `wanted`. With None, `fp32` has no limit,
            because the parity check has already compared its logits.

    Raises:
        ParityError: GAUC in the wanted precision is not within the tolerance, or it cannot be computed.
    """
    allowed = GAUC_TOLERANCE[wanted] if tolerance is None else tolerance
    if wanted == "auto":
        good = [name for name in results if _within(results[name].row.gauc_difference, allowed)]
        # If two have the same size, the one with the smaller rounding error is chosen.
        return min(good, key=lambda name: (results[name].row.device_bytes, PRECISIONS.index(name)), default="fp32")
    if wanted == "fp32" and tolerance is None:
        return wanted
    if wanted not in results:
        raise ParityError(f"export: --precision {wanted}: logits are NaN or infinite: export with --precision fp32")
    difference = results[wanted].row.gauc_difference
    if difference is None:
        raise ParityError(
            f"export: --precision {wanted}: GAUC needs a validation request with a clicked and an unclicked exposure; "
            "received none: give other --samples, or more --requests"
        )
    if not _within(difference, allowed):
        raise ParityError(
            f"export: --precision {wanted}: GAUC on validation requests should differ from Keras' by at most "
            f"{allowed:g}; received a difference of {difference:.2g}: choose another --precision, or raise "
            "--gauc-tolerance"
        )
    return wanted


def parity_of(name: Precision, result: PrecisionResult, fp32: Parity, real: RealRequests) -> Parity:
    """Return the parity of a bundle with rounded weights: the checks in fp32, and those of the rounded models.

    Golden cases have the logits of Keras. So their tolerance is twice the difference that rounded weights cause on
    random cases, rounded up to two digits. The hidden layer counts as logits do, if the cases have it. Differences
    between machines are far smaller. The factor two allows for engines that multiply 8-bit weights in another way.

    Args:
        name: the bundle's precision.
        result: the measurements of this precision.
        fp32: the parity in fp32.
        real: the result of the rounded models on test requests.

    Raises:
        ParityError: the bundle would need a larger tolerance than `MAX_TOLERANCE`.
    """
    checks = {**fp32.checks, f"random_{name}": result.random, f"real_{name}": real.max_abs_error}
    largest = result.random
    if result.hidden is not None:
        checks[f"random_{name}_hidden"] = result.hidden
        largest = max(largest, result.hidden)
    tolerance = max(TOLERANCE, _two_digits(2 * largest))
    if tolerance > MAX_TOLERANCE[name]:
        raise ParityError(
            f"export: --precision {name}: golden cases should have a tolerance of at most {MAX_TOLERANCE[name]:g}, but "
            f"rounded weights change {'a logit' if largest == result.random else 'the hidden layer'} by {largest:.2g}: "
            "choose another --precision"
        )
    return Parity(
        max_abs_error=max(checks.values()),
        tolerance=tolerance,
        relative_tolerance=fp32.relative_tolerance,
        checks=checks,
        requests=real.requests,
        orders_equal=real.orders_equal,
    )


def _two_digits(value: float) -> float:
    """Return `value` rounded up to two significant digits."""
    if value == 0:
        return value
    decimals = 1 - math.floor(math.log10(value))
    return float(round(math.ceil(value * 10.0**decimals) / 10.0**decimals, decimals))


def _within(difference: float | None, tolerance: float) -> bool:
    return difference is not None and difference <= tolerance


def _difference(real: RealRequests) -> float | None:
    keras, mnn = real.gauc["keras"], real.gauc["mnn"]
    return None if keras is None or mnn is None else abs(mnn - keras)


def _latencies(devices: Mapping[Precision, DeviceModel], case: GoldenCase) -> dict[Precision, Latency]:
    """Return median latencies. Each round measures all precisions, one after the other."""
    reranks: dict[Precision, list[int]] = {name: [] for name in devices}
    steps: dict[Precision, list[int]] = {name: [] for name in devices}
    for _ in range(ROUNDS):
        for name, device in devices.items():
            encodings = encode_case(device, case)
            for _ in range(RERANKS):
                start = time.perf_counter_ns()
                device.ranker.score(case.candidates, **encodings, ids=case.candidate_ids)
                reranks[name].append(time.perf_counter_ns() - start)
            for kind, stepper in list(device.steppers.items())[:1]:
                action, item = case.of(kind).action[-1], case.of(kind).item[-1]
                state = stepper.initial_state()
                for _ in range(STEPS):
                    start = time.perf_counter_ns()
                    state = stepper.step(action, item, state).state
                    steps[name].append(time.perf_counter_ns() - start)
    return {
        name: Latency(
            statistics.median(reranks[name]) / 1e3, statistics.median(steps[name]) / 1e3 if steps[name] else None
        )
        for name in devices
    }
