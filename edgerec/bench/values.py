"""The values of a document of `edgerec bench`: bounded numbers, and the description of a machine.

A document can come from another machine. The bounds keep tables, plots and tests free of overflows.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

MOST = 2**63 - 1
"""Largest integer of a document."""
MOST_PROCESSES = 1000
"""Largest number of processes of a row."""

Whole = Annotated[int, Field(ge=0, le=MOST)]
Count = Annotated[int, Field(ge=1, le=MOST)]
Signed = Annotated[int, Field(ge=-MOST, le=MOST)]
Number = Annotated[float, Field(ge=-1e15, le=1e15)]
Positive = Annotated[float, Field(ge=0, le=1e15)]
"""A finite number that is not negative, such as a duration in microseconds."""
Sample = Annotated[float, Field(gt=1e-6, le=1e15)]
"""The duration of one call in microseconds."""
Parameters = dict[str, Whole | Number | str]


FINITE = ConfigDict(extra="ignore", allow_inf_nan=False)
"""Unknown keys are ignored, because later versions may add some."""


class Environment(BaseModel):
    """The machine of a measurement, as `edgerec.bench.environment` describes it. None is not known.

    Attributes:
        processor: name of the processor.
        features: its instruction sets that matter for inference.
        machine: the architecture, such as `x86_64`.
        cores: number of processors.
        cores_usable: number of processors that the process may use.
        versions: versions of the measured packages. None is a package that is not installed.
        governor: what chooses the frequency of the processor.
        frequency_mhz: `min`, `max` and `current`.
        load_start, load_end: load of the last minute.
        emulated: whether the processor is emulated.
        container: kind of the container.
        power: `ac` or `battery`.
        date: when the measurement began (ISO 8601).
    """

    model_config = FINITE

    processor: str | None = None
    features: list[str] = []
    machine: str | None = None
    cores: Whole | None = None
    cores_usable: Whole | None = None
    memory_bytes: Whole | None = None
    system: str | None = None
    python: str | None = None
    versions: dict[str, str | None] = {}
    governor: str | None = None
    frequency_mhz: dict[str, Number | None] = {}
    temperature_c: Number | None = None
    load_start: Number | None = None
    load_end: Number | None = None
    emulated: bool | None = None
    container: str | None = None
    power: str | None = None
    date: str | None = None
