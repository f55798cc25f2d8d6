"""The document of `edgerec bench`: what is measured, in one schema for writers, comparisons and reports.

All durations are in microseconds unless a name says otherwise. docs/formats.md describes every key.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, Field, ValidationError, computed_field, model_validator

from edgerec.bench.values import (
    FINITE,
    MOST_PROCESSES,
    Count,
    Environment,
    Number,
    Parameters,
    Positive,
    Sample,
    Signed,
    Whole,
)
from edgerec.core.documents import document_bytes, parse_json
from edgerec.core.errors import FormatError
from edgerec.core.faults import first_fault

SCHEMA = 1
KIND = "bench"
TOTAL = "total"
"""The part of a size, or the phase of a cold start, that is the sum of the others."""
QUANTILES = (*(step / 50 for step in range(50)), 0.99, 0.995, 0.999, 1.0)
"""Shares of the calls whose durations `Row.quantiles_us` has. A report plots them as the distribution."""
PAPER_MS = {"behaviour": 300.0, "response": 100.0}
"""Table 3 of the paper, on the device: the delay of a behaviour and the response time, in milliseconds."""


class Part(BaseModel):
    """Base class of the parts."""

    model_config = FINITE


class Quality(Part):
    """How good the plans of a solver of a mixed feed are.

    Attributes:
        instances: number of feeds.
        compared: number of feeds whose gap is known: all rules could hold.
        reference: what found the best plans: `highs`, or `best known`.
        gap_mean, gap_max: ``(best - value) / |best|``, mean and largest. None if there is nothing to compare.
        violations: number of rules that plans break, except those that were given up.
    """

    instances: Count
    compared: Whole
    reference: str
    gap_mean: Number | None
    gap_max: Number | None
    violations: Whole


class Row(Part):
    """One implementation in one stage.

    Attributes:
        name: the implementation, such as `mnn`, `edgerec` or `onnxruntime`.
        stage: what was measured, such as `hubsm_ie` or `rerank`.
        parameters: what a sweep varied, such as `{"candidates": 50}`. Empty for the stage itself.
        n: number of calls.
        spread: distance between the quartiles of the medians of rounds, divided by their median.
        per_second: calls per second, `1e6 / mean_us`.
        cpu_us: processor time of the process (all threads) per call, or None if it was not measured.
        unstable: whether the machine was too unsteady to trust the figures of this row.
        reasons: why the row is unstable, as sentences.
        processes: number of rounds in each process. Their order is that of `samples_us`.
        warmup_us: durations of the calls before the first round, for each process.
        samples_us: durations of the calls in each round.
        quality: for the stage `mix`, how good the plans are. Else None.
        quantiles_us: durations at the shares `QUANTILES`. They are computed from `samples_us`.
    """

    name: str
    stage: str
    parameters: Parameters = {}
    n: Count
    min_us: Positive
    mean_us: Positive
    p50_us: Positive
    p90_us: Positive
    p99_us: Positive
    p999_us: Positive
    spread: Number
    per_second: Positive
    cpu_us: Positive | None = None
    unstable: bool = False
    reasons: list[str] = []
    processes: list[Count] = Field(min_length=1, max_length=MOST_PROCESSES)
    warmup_us: list[list[Positive]] = []
    samples_us: list[Annotated[list[Sample], Field(min_length=1)]]
    quality: Quality | None = None

    @model_validator(mode="after")
    def _counts(self) -> Row:
        rounds, calls = len(self.samples_us), sum(map(len, self.samples_us))
        if sum(self.processes) != rounds:
            raise ValueError(f"processes should add up to the rounds; received {sum(self.processes)} and {rounds}")
        if self.n != calls:
            raise ValueError(f"n should be the number of samples; received {self.n} and {calls}")
        return self

    @computed_field  # type: ignore[prop-decorator]
    @property
    def quantiles_us(self) -> list[float]:
        samples = [sample for samples in self.samples_us for sample in samples]
        return [round(float(value), 3) for value in np.quantile(samples, QUANTILES)]


class Ratio(Part):
    """The p50 of MNN divided by the p50 of a peer: median, smallest and largest over rounds."""

    stage: str
    peer: str
    parameters: Parameters = {}
    median: Positive
    min: Positive
    max: Positive


class Operation(Part):
    """The commands of one type in a model.

    Attributes:
        stage: the model.
        type: the type.
        commands: their number.
        mean_us: how long all of them take in one run, from medians over runs. None if they are too short to be timed.
        share: `mean_us` divided by the duration of a plain run. None if `mean_us` is None.
    """

    stage: str
    type: str
    commands: Whole
    mean_us: Positive | None
    share: Number | None


class Size(Part):
    """Bytes of one part of the folder `device` or `cloud` of the bundle.

    `half` is the folder. The part `total` is the sum of the parts of a folder.

    `paper_bytes` is the size in the paper, which states it for `total`.
    """

    half: Literal["device", "cloud"]
    part: str
    bytes: Whole
    paper_bytes: Whole | None = None


class PatchCost(Part):
    """What a patch of the bundle's head costs, besides the durations of its stages.

    Attributes:
        method, optimiser, steps: how the head trains a patch, and the largest number of its steps.
        rank: number of weights of a patch, without its bias.
        events: number of events from which the stage `train_patch` trains.
        candidates: number of candidates of a re-rank.
        patch_bytes: the numbers of a patch.
        head_bytes: the file of the head, which all users share.
        request_bytes: what a re-rank stores for the training, besides its log row.
        training_bytes: the largest memory that a training needs at once, without its events.
    """

    method: str
    optimiser: str
    steps: Count
    rank: Count
    events: Count
    candidates: Count
    patch_bytes: Count
    head_bytes: Count
    request_bytes: Count
    training_bytes: Count


class Phase(Part):
    """One phase of a cold start, or the whole: milliseconds over fresh processes."""

    phase: str
    median_ms: Positive
    min_ms: Positive
    max_ms: Positive
    samples_ms: list[Positive]


class Memory(Part):
    """The memory of a device process after one phase.

    Attributes:
        phase: what the process has done so far.
        resident_bytes: resident memory, median over processes.
        private_bytes: the part that no other process shares, or None if the system does not tell it.
        above_base_bytes: resident memory above that of a process that has only imported NumPy and MNN.
        samples_bytes: resident memory in each process.
        growth_bytes: for `steady`, the growth of the resident memory for each re-rank, median over processes.
    """

    phase: str
    resident_bytes: Whole
    private_bytes: Whole | None = None
    above_base_bytes: Signed
    samples_bytes: list[Whole]
    growth_bytes: Number | None = None


class Interval(Part):
    """One interval of a sustained measurement. `second` is when it began."""

    stage: str
    name: str
    second: Positive
    n: Count
    p50_us: Positive
    p99_us: Positive
    frequency_mhz: Number | None = None
    temperature_c: Number | None = None


class Energy(Part):
    """The energy of one stage in microjoules per call, from the counters of the processor package (RAPL)."""

    stage: str
    name: str
    microjoules: Positive


class Target(Part):
    """A number to reach. `result` is `excellent`, `required`, `missed`, or `unknown` if the row is unstable."""

    what: str
    unit: str
    required: Number
    excellent: Number
    measured: Number
    result: Literal["excellent", "required", "missed", "unknown"]


class Failure(Part):
    """A peer that was not measured, and why."""

    peer: str
    reason: str


class Settings(Part):
    """How the measurement was made. `cpus` are the processors that the process was bound to.

    `turns` is set if the processes took turns with those of another document (`edgerec bench compare`), which has the
    same value. Then processes and rounds with the same index belong together.
    """

    rounds: Count
    processes: Count = 1
    threads: Count = 1
    cpus: list[Whole] | None = None
    seconds: Positive | None = None
    turns: str | None = None


class BenchDocument(Part):
    """The result of one `edgerec bench` command on one machine. Parts that were not measured are empty.

    Attributes:
        what: the command, such as `step` or `all`.
        environment: the machine.
        bundle: path of the bundle.
        version_id: version of the model.
        model: name of the model, such as `crban`.
        precision: precision of its weights.
        sizes: maximum lengths of the lists: `candidates`, `exposures`, `page_views`.
        personal: what a patch costs, for a bundle with a head of patches. Else None.
        warnings: which figures not to trust, as sentences.
        quantiles: the shares of all `quantiles_us`.
        quality: the quality of the plans that a client makes, for `mix`. Else None.
        table3: the rows of the paper's Table 3 that were measured: `what`, `p50_ms`, `p99_ms` and `paper_ms`.
    """

    schema_: Literal[1] = Field(1, alias="schema")
    kind: Literal["bench"] = "bench"
    what: str
    environment: Environment
    bundle: str | None = None
    version_id: str | None = None
    model: str | None = None
    precision: str | None = None
    sizes: dict[str, Whole] = {}
    settings: Settings
    results: list[Row] = []
    ratios: list[Ratio] = []
    operations: list[Operation] = []
    size: list[Size] = []
    personal: PatchCost | None = None
    cold: list[Phase] = []
    memory: list[Memory] = []
    sustained: list[Interval] = []
    energy: list[Energy] = []
    targets: list[Target] = []
    failed: list[Failure] = []
    warnings: list[str] = []
    seconds: Positive | None = None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def quantiles(self) -> list[float]:
        return list(QUANTILES)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def table3(self) -> list[dict[str, Any]]:
        return [
            {"what": row.stage, "p50_ms": row.p50_us / 1e3, "p99_ms": row.p99_us / 1e3, "paper_ms": PAPER_MS[row.stage]}
            for row in self.results
            if row.stage in PAPER_MS and row.name == "edgerec" and not row.parameters
        ]

    @computed_field  # type: ignore[prop-decorator]
    @property
    def quality(self) -> Quality | None:
        return next((row.quality for row in self.results if row.name == "edgerec" and row.quality), None)

    def to_json(self) -> dict[str, Any]:
        """Return the document as plain values, with the keys of the JSON file."""
        return self.model_dump(mode="json", by_alias=True)


def check_is_file(path: Path) -> None:
    """Check that `path` exists and is no folder.

    Raises:
        FormatError: it is missing or a folder.
    """
    if path.is_dir():
        raise FormatError(f"bench: {path} is a folder: give a file that `edgerec bench ... --out` wrote")
    if not path.exists():
        raise FormatError(f"bench: {path} does not exist: give a file that `edgerec bench ... --out` wrote")


def read_bench_document(path: Path) -> BenchDocument:
    """Read and check the JSON file that `edgerec bench ... --out` wrote.

    Raises:
        FormatError: the file cannot be read, is no document of `edgerec bench`, or has another schema.
    """
    check_is_file(path)
    try:
        raw = parse_json(document_bytes(path, what="bench"))
    except ValueError as error:
        raise FormatError(f"bench: {path} is not valid JSON ({error}): measure again") from None
    if isinstance(raw, dict) and "kind" not in raw and {"plan", "parts", "results"} <= raw.keys():
        raise FormatError(
            f"bench: {path} is a document of `edgerec bench cloud`, which has no report and no comparison: read its "
            "table, or its JSON (docs/formats.md)"
        )
    if not isinstance(raw, dict) or raw.get("kind") != KIND:
        raise FormatError(f"bench: {path} is no document of `edgerec bench`: give a file that its --out wrote")
    if raw.get("schema") != SCHEMA or isinstance(raw.get("schema"), bool):
        raise FormatError(
            f"bench: {path} has schema {raw.get('schema')!r:.40}, but this version of EdgeRec reads schema {SCHEMA}: "
            "measure again with this version"
        )
    try:
        return BenchDocument.model_validate(raw)
    except ValidationError as error:
        raise FormatError(f"bench: {path}: {first_fault(error)}: measure again") from None
