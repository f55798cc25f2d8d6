"""What a picture shows of a result: the parts of the documents of `edgerec abtest` and `edgerec bench`.

A document without its raw measurements is enough.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgerec.core.documents import read_object
from edgerec.core.errors import FormatError
from edgerec.core.faults import first_fault

AB_TEST, BENCH = "ab_test", "bench"
Share = Annotated[float, Field(ge=0, le=1)]
Change = Annotated[float, Field(ge=-1e6, le=1e6)]
Microseconds = Annotated[float, Field(gt=0, le=1e15)]
Whole = Annotated[int, Field(ge=0, le=2**63 - 1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)


class Positions(_Part):
    """The exposures at some display positions of a session. `to` is None if there is no last position."""

    first: Whole = Field(alias="from")
    to: Whole | None
    exposures: Whole
    rate: Share | None
    ci95: tuple[Share, Share] | None


class Uplift(_Part):
    """The relative change of a metric, the 95 % interval, and the uplift in the paper."""

    mean: Change | None
    ci95: tuple[Change | None, Change | None] | None
    paper: Change | None = None


class AbTest(_Part):
    """An A/B test: for each bucket its click rates by position, and the uplift of the first against the control."""

    kind: Literal["ab_test"]
    design: str
    users: Whole
    primary: str
    positions: dict[str, list[Positions]]
    uplift: dict[str, Uplift]


class Row(_Part):
    """How long a call of one implementation takes in one stage."""

    stage: str
    name: str
    parameters: dict[str, int | float | str]
    p50_us: Microseconds
    p99_us: Microseconds
    unstable: bool = False


class Ratio(_Part):
    """The p50 of MNN divided by that of a peer, as the median over rounds."""

    stage: str
    peer: str
    parameters: dict[str, int | float | str]
    median: Annotated[float, Field(ge=0, le=1e15)]


class Machine(_Part):
    """The machine of a measurement."""

    processor: str | None = None
    machine: str | None = None
    cores: Whole | None = None
    versions: dict[str, str | None] = {}
    date: str | None = None


class Bench(_Part):
    """A measurement of a bundle on a device."""

    kind: Literal["bench"]
    model: str
    environment: Machine
    sizes: dict[str, Whole]
    results: list[Row]
    ratios: list[Ratio]


def read_result(path: Path) -> AbTest | Bench:
    """Read and check a result of `edgerec abtest` or `edgerec bench`.

    Raises:
        FormatError: the file does not exist or cannot be read, is no such result, or a field is invalid.
    """
    if not path.exists():
        raise FormatError(f"picture: {path} does not exist: give a result of `edgerec abtest` or `edgerec bench`")
    raw = read_object(path)
    kind = None if raw is None else raw.get("kind")
    if kind not in (AB_TEST, BENCH):
        raise FormatError(
            f"picture: {path} should be ab_test.json of `edgerec abtest`, or a document of `edgerec bench --out`; "
            f"received {'no JSON object' if raw is None else f'the kind {kind!r:.40}'}"
        )
    try:
        return (AbTest if kind == AB_TEST else Bench).model_validate(raw)
    except ValidationError as error:
        raise FormatError(f"picture: {path}: {first_fault(error)}: make the result again") from None
