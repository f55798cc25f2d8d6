"""The files that `edgerec bench` writes: JSON with all raw durations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edgerec.bench.document import BenchDocument
from edgerec.core.atomic import check_document, write_json


@dataclass(frozen=True)
class Outputs:
    """The files to write. None writes no such file.

    Attributes:
        out: JSON with all raw durations.
        force: replace files that exist.
    """

    out: Path | None = None
    force: bool = False

    def check(self, inputs: Iterable[Path]) -> None:
        """Check that all files can be written, before anything is measured.

        Raises:
            OutputError: a file exists and `force` is false, it was not written by EdgeRec, or it is inside an input.
        """
        inputs = list(inputs)
        if self.out is not None:
            check_document(self.out, force=self.force, inputs=inputs)

    def write(self, document: BenchDocument) -> None:
        """Write all files atomically."""
        if self.out is not None:
            write_json(self.out, document.to_json())
