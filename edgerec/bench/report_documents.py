"""Read the documents that `edgerec bench report` shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from edgerec.bench.document import KIND, read_bench_document
from edgerec.core.documents import read_object
from edgerec.core.errors import FormatError
from edgerec.core.faults import first_fault


class _Quantiles(BaseModel):
    p50: float
    p99: float


class _Row(BaseModel):
    what: str
    edge: _Quantiles | float | None
    cloud: _Quantiles | float | None


class _Replay(BaseModel):
    """What a report shows of a document of `edgerec replay`."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    logs: str
    mode: str
    table3: list[_Row]


def read_report_document(path: Path) -> dict[str, Any]:
    """Read and check a document of `edgerec bench`, or the part of a document of `edgerec replay` with Table 3.

    Raises:
        FormatError: the file cannot be read, or is neither of the two.
    """
    raw = read_object(path)
    if raw is None or raw.get("kind") == KIND or "table3" not in raw:
        return read_bench_document(path).to_json()
    try:
        return _Replay.model_validate(raw).model_dump()
    except ValidationError as error:
        raise FormatError(f"replay: {path}: {first_fault(error)}: replay again") from None
