"""The whole parity check of an export, and the trace of a request that fails it."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import onnx

from edgerec.bundle.golden import GoldenCase, write_case
from edgerec.bundle.layout import DEVICE
from edgerec.bundle.load import load_device_model
from edgerec.bundle.manifest import Parity
from edgerec.core.atomic import output_folder, write_bytes, write_json
from edgerec.core.console import progress, stage
from edgerec.core.errors import ParityError, first_line
from edgerec.data.samples import Samples
from edgerec.device_runtime.device_model import DeviceModel
from edgerec.export.onnx_device import OnnxDevice
from edgerec.export.parity import CaseError, check_random
from edgerec.export.personal_check import check_activations
from edgerec.export.random_cases import LONG, SEEDS, STANDARD_DEVIATIONS, long_case, random_cases
from edgerec.export.real_requests import check_real, summarise
from edgerec.export.split import SplitModel
from edgerec.export.surroundings_check import check_surroundings
from edgerec.export.trace import Trace
from edgerec.export.trace import trace as trace_case
from edgerec.model.runs import Run

SURROUNDINGS_CHECK = "surroundings"
"""The name of the check of the head in `Parity.checks`."""
PERSONAL_CHECK = "personal"
"""The name of the check of what patches read in `Parity.checks`."""
TRACE = "trace"
"""The `kind` of the folder that a failed check writes, and the suffix of the folder's name."""


@dataclass(frozen=True)
class CheckedParity:
    """The results of the parity check in fp32.

    Attributes:
        parity, gauc: the values for the manifest.
        golden: random cases. Some of them become the golden cases of the bundle.
        cases: the cases that start from raw values, `golden`, and the random cases of the check whose inputs have a
            standard deviation of 1. In the last case, every sequence has its maximal length.
    """

    parity: Parity
    gauc: dict[str, float | None]
    golden: list[GoldenCase]
    cases: list[GoldenCase]


def check_parity(
    run: Run,
    samples: Samples,
    parts: SplitModel,
    graphs: Mapping[str, onnx.ModelProto],
    half: Path,
    requests: int,
    *,
    raw: Sequence[GoldenCase] = (),
    trace_path: Path | None,
) -> CheckedParity:
    """Run the parity check of the device half in `half`. If it fails, trace the request into the folder `trace_path`.

    `raw` are the vectors of the golden cases that start from raw values. They are checked as the random cases are. If
    the half has the head of personal patches, the hidden layer is compared, too, and what patches read of real
    requests.

    Raises:
        ParityError: a difference is above the tolerance.
    """
    loaded = load_device_model(half)
    try:
        return _run_checks(run, samples, parts, loaded, OnnxDevice.load(graphs), requests, raw)
    except CaseError as error:
        if trace_path is None:
            raise ParityError(f"{error}: export with --trace to find the first tensor that differs") from None
        raise ParityError(f"{error}; {_write_trace(error, loaded, graphs, half, trace_path)}") from None


def _write_trace(
    error: CaseError, loaded: DeviceModel, graphs: Mapping[str, onnx.ModelProto], half: Path, trace_path: Path
) -> str:
    """Trace the request that failed, and store it with graphs and models in `trace_path`. Return a description."""
    found: Trace | None = None
    try:
        found = trace_case(error.case, loaded, graphs)
        finding = str(found)
    except Exception as failure:  # An engine can raise any error. The error of the parity check must not be lost.
        finding = f"the trace failed: {first_line(failure)}"
    with output_folder(trace_path, force=True, kind=TRACE) as folder:
        shutil.copytree(half / DEVICE, folder / DEVICE)
        for name, graph in graphs.items():
            write_bytes(folder / f"{name}.onnx", graph.SerializeToString(deterministic=True))
        write_case(error.case, folder / "case.npz")
        document = {"schema": 1, "kind": TRACE, "proof": str(error), "finding": finding}
        write_json(folder / f"{TRACE}.json", {**document, **({} if found is None else asdict(found))})
    return f"{finding}. Graphs, models and request are in {trace_path}"


def _run_checks(
    run: Run,
    samples: Samples,
    parts: SplitModel,
    loaded: DeviceModel,
    onnx_device: OnnxDevice,
    requests: int,
    raw: Sequence[GoldenCase],
) -> CheckedParity:
    checks: dict[str, float] = {}
    hidden = loaded.personal is not None
    golden = random_cases(run.model, run.head.limits, seed=0, std=1.0, hidden=hidden)
    ordinary = [*raw, *golden]
    with stage("check parity on random inputs of every length"):
        if raw:
            checks |= check_random(raw, loaded, onnx_device)
        draws = list(itertools.product(SEEDS, STANDARD_DEVIATIONS))
        for seed, std in progress(draws, what="sets of random inputs", total=len(draws)):
            cases = random_cases(run.model, run.head.limits, seed=seed, std=std, hidden=hidden)
            for name, error in check_random(cases, loaded, onnx_device).items():
                checks[name] = max(checks.get(name, 0.0), error)
            ordinary += cases if std == 1.0 else []
    if run.model.behaviour_kinds:
        with stage(f"check parity on {LONG:,} steps"):
            case = long_case(run.model, run.head.limits, steps=LONG, hidden=hidden)
            long = check_random([case], loaded, onnx_device)
            checks |= {name.replace("random", "long"): error for name, error in long.items()}
    with stage("check parity on real requests"):
        real = check_real(run.model, samples, parts.tables, loaded, requests=requests)
        if parts.head is not None:
            around = check_surroundings(run.model, samples, parts.tables, loaded, requests=requests)
            checks[SURROUNDINGS_CHECK] = around
        if hidden:
            read = check_activations(run.model, samples, parts.tables, loaded, requests=requests)
            checks[PERSONAL_CHECK] = read
    return CheckedParity(summarise(checks, real), real.gauc, golden, ordinary)
