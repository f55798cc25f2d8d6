"""Precisions of the device half: what rounding its weights saves, and what that costs on validation requests."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from edgerec.bundle.golden import GoldenCase, encode_case, run_case
from edgerec.bundle.layout import DEVICE
from edgerec.bundle.load import load_device_model
from edgerec.bundle.manifest import MAX_TOLERANCE, PRECISIONS, Parity, Precision, PrecisionRow
from edgerec.core.console import log
from edgerec.core.errors import InputError, ParityError
from edgerec.data.samples import VALIDATION, Samples
from edgerec.device_runtime.device_model import DeviceModel
from edgerec.export.parity import TOLERANCE, UNBOUNDED, compare
from edgerec.export.real_requests import RealRequests, step_through
from edgerec.kv.npz import Table
from edgerec.kv.shard_writer import TableDtype
from edgerec.model.reranker import Reranker

Wanted = Literal["fp32", "fp16", "int8", "auto"]

GAUC_TOLERANCE: Mapping[Wanted, float] = {"fp32": 1e-4, "fp16": 5e-4, "int8": 2e-3, "auto": 5e-4}
"""How far GAUC through MNN may be from Keras' unless told otherwise."""
ROUNDS, STEPS, RERANKS = 15, 20, 4
"""Of the latencies: in a round every precision has its turn."""


@dataclass(frozen=True)
class Latency:
    """What a call of the runtime takes on this machine at this time: a hint beside the sizes, no benchmark.

    Attributes:
        rerank_p50_us: `CrbanRanker.score` at full sizes, median in microseconds.
        step_p50_us: `HubsmStepper.step` of an exposure, or of a page-view where exposures are not read; none without
            either.
    """

    rerank_p50_us: float
    step_p50_us: float | None


@dataclass(frozen=True)
class Measured:
    """One precision.

    Attributes:
        row: as it goes into the manifest.
        random: largest difference of a logit from Keras' over random cases; `row.drift` is over real requests as well.
        latency: which changes from export to export, and so stays out of the manifest.
    """

    row: PrecisionRow
    random: float
    latency: Latency

    def document(self) -> dict[str, Any]:
        """All of it that a command prints."""
        return {**self.row.model_dump(), **asdict(self.latency)}


def precisions_of(wanted: Wanted) -> tuple[Precision, ...]:
    """What has to be converted: fp32, with which the function is proven, and what is wanted."""
    if wanted == "auto":
        return PRECISIONS
    return ("fp32",) if wanted == "fp32" else ("fp32", wanted)


def check_tolerance(tolerance: float | None) -> None:
    """Refuse a tolerance of GAUC that is none.

    Raises:
        InputError: it is negative, or no number.
    """
    if tolerance is not None and not 0 <= tolerance < math.inf:
        raise InputError(f"export: --gauc-tolerance should be a number from 0; received {tolerance}")


def as_stored(tables: Mapping[str, Table], dtype: TableDtype) -> dict[str, Table]:
    """Tables with the rows that a server answers with, which were rounded where `dtype` is `float16`."""

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
) -> dict[Precision, Measured]:
    """Measure each precision: bytes, drift, difference of GAUC on validation requests, latency.

    Args:
        model: the trained model.
        samples: where the requests are.
        tables: the embedding tables as they are served (`as_stored`); Keras reads its own.
        folders: by precision, the folder whose device half it is.
        cases: random requests with Keras' logits, the last of them of full size.
        requests: validation requests to step through, spread evenly.

    Returns:
        By precision, `fp32` first. One whose logits are no numbers is logged and left out.
    """
    devices: dict[Precision, DeviceModel] = {}
    random: dict[Precision, float] = {}
    for name, folder in folders.items():
        device = load_device_model(folder)
        try:
            random[name] = random_drift(name, device, cases)
        except ParityError as error:
            log(f"{name} cannot be had: {error}")
            continue
        devices[name] = device
    real = step_through(model, samples, tables, devices, requests=requests, split=VALIDATION, tolerance=UNBOUNDED)
    latencies = _latencies(devices, cases[-1])
    return {
        name: Measured(
            row=PrecisionRow(
                device_bytes=sum(path.stat().st_size for path in (folders[name] / DEVICE).iterdir()),
                drift=max(random[name], real[name].max_abs_error),
                gauc_difference=_difference(real[name]),
            ),
            random=random[name],
            latency=latencies[name],
        )
        for name in devices
    }


def random_drift(name: str, device: DeviceModel, cases: Iterable[GoldenCase]) -> float:
    """The largest difference of a logit from that of a case.

    Raises:
        ParityError: a logit is no number.
    """
    return max(
        compare(name, run_case(device, case), case, where="random request", tolerance=UNBOUNDED) for case in cases
    )


def choose(found: Mapping[Precision, Measured], wanted: Wanted, *, tolerance: float | None) -> Precision:
    """The precision to export.

    Args:
        found: `measure`'s answer.
        wanted: `auto` is the smallest in bytes whose GAUC is within the tolerance, else `fp32`.
        tolerance: of GAUC; none for the default of `wanted`, which `fp32` is not held to: its logits have been proven.

    Raises:
        ParityError: the one wanted is not within the tolerance, or that cannot be known.
    """
    allowed = GAUC_TOLERANCE[wanted] if tolerance is None else tolerance
    if wanted == "auto":
        good = [name for name in found if _within(found[name].row.gauc_difference, allowed)]
        # Of equal size, the closer to the trained weights.
        return min(good, key=lambda name: (found[name].row.device_bytes, PRECISIONS.index(name)), default="fp32")
    if wanted == "fp32" and tolerance is None:
        return wanted
    if wanted not in found:
        raise ParityError(f"export: --precision {wanted}: logits are no numbers: export with --precision fp32")
    difference = found[wanted].row.gauc_difference
    if difference is None:
        raise ParityError(
            f"export: --precision {wanted}: no validation request that was stepped through has a clicked and an "
            "unclicked exposure, so GAUC cannot be compared: give other --samples, or more --requests"
        )
    if not _within(difference, allowed):
        raise ParityError(
            f"export: --precision {wanted}: GAUC on validation requests is {difference:.2g} from Keras'; {allowed:g} "
            "is allowed: choose another --precision, or allow more by --gauc-tolerance"
        )
    return wanted


def parity_of(name: Precision, measured: Measured, proof: Parity, real: RealRequests) -> Parity:
    """The figures of a bundle of rounded weights: the proof of the function, and how far its own scores are off.

    Golden cases keep Keras' logits, so their tolerance is what rounding does to random cases, twice, up to the next
    number of two digits: machines differ among themselves by far less, and an engine may multiply 8 bits otherwise.

    Args:
        name: the bundle's precision.
        measured: at that precision.
        proof: of fp32.
        real: test requests through the bundle's own models.

    Raises:
        ParityError: no tolerance that a bundle may have is large enough.
    """
    checks = {**proof.checks, f"random_{name}": measured.random, f"real_{name}": real.max_abs_error}
    tolerance = max(TOLERANCE, _two_digits(2 * measured.random))
    if tolerance > MAX_TOLERANCE[name]:
        raise ParityError(
            f"export: --precision {name}: rounded weights move a logit by {measured.random:.2g}, so that golden cases "
            f"would need a tolerance above {MAX_TOLERANCE[name]:g}: choose another --precision"
        )
    return Parity(
        max_abs_error=max(checks.values()),
        tolerance=tolerance,
        relative_tolerance=proof.relative_tolerance,
        checks=checks,
        requests=real.requests,
        orders_equal=real.orders_equal,
    )


def _two_digits(value: float) -> float:
    """`value`, or the next number above it of two significant digits."""
    if value == 0:
        return value
    places = 1 - math.floor(math.log10(value))
    return float(round(math.ceil(value * 10.0**places) / 10.0**places, places))


def _within(difference: float | None, tolerance: float) -> bool:
    return difference is not None and difference <= tolerance


def _difference(real: RealRequests) -> float | None:
    keras, mnn = real.gauc["keras"], real.gauc["mnn"]
    return None if keras is None or mnn is None else abs(mnn - keras)


def _latencies(devices: Mapping[Precision, DeviceModel], case: GoldenCase) -> dict[Precision, Latency]:
    """Medians over rounds in which all take turns."""
    reranks: dict[Precision, list[int]] = {name: [] for name in devices}
    steps: dict[Precision, list[int]] = {name: [] for name in devices}
    for _ in range(ROUNDS):
        for name, device in devices.items():
            encodings = encode_case(device, case)
            for _ in range(RERANKS):
                start = time.perf_counter_ns()
                device.crban.score(case.candidates, **encodings, ids=case.candidate_ids)
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
