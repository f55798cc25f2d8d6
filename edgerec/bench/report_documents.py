"""Read the documents that `edgerec bench report` shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edgerec.bench.document import KIND, Part, read_bench_document
from edgerec.bench.values import Number
from edgerec.core.documents import read_object
from edgerec.core.errors import FormatError
from edgerec.core.faults import first_fault


class _Quantiles(Part):
    p50: Number
    p99: Number


class _Row(Part):
    what: str
    edge: _Quantiles | Number | None
    cloud: _Quantiles | Number | None


class _Replay(Part):
    """What a report shows of a document of `edgerec replay`."""

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
