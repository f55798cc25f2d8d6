"""The files that `edgerec bench` writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edgerec.bench.document import BenchDocument
from edgerec.bench.pyperf_file import check_pyperf, write_pyperf
from edgerec.core.atomic import check_document, write_bytes, write_json
from edgerec.core.errors import InputError
from edgerec.reports.bench.markdown import check_markdown, markdown
from edgerec.reports.page import check_page


def check_different(paths: Mapping[str, Path | None]) -> None:
    """Check that the options of `paths` name different files. None is an option that was not given.

    Raises:
        InputError: two options name the same file.
    """
    given = [path.resolve() for path in paths.values() if path is not None]
    if len(set(given)) < len(given):
        *names, last = paths
        raise InputError(f"bench: {', '.join(names)} and {last} should name different files")


@dataclass(frozen=True)
class Outputs:
    """The files to write. None writes no such file.

    Attributes:
        out: JSON with all raw durations.
        html: a page with tables and plots.
        markdown: tables for a pull request.
        pyperf: JSON in the format of pyperf.
        force: replace files that exist.
    """

    out: Path | None = None
    html: Path | None = None
    markdown: Path | None = None
    pyperf: Path | None = None
    force: bool = False

    def check(self, inputs: Iterable[Path]) -> None:
        """Check that all files can be written, before anything is measured.

        Raises:
            InputError: two outputs are the same file.
            OutputError: a file exists and `force` is false, it is of another kind, or it is inside an input.
        """
        inputs = list(inputs)
        check_different({"--out": self.out, "--html": self.html, "--markdown": self.markdown, "--pyperf": self.pyperf})
        for path, check in (
            (self.out, check_document),
            (self.pyperf, check_pyperf),
            (self.html, check_page),
            (self.markdown, check_markdown),
        ):
            if path is not None:
                check(path, force=self.force, inputs=inputs)

    def write(self, document: BenchDocument) -> None:
        """Write all files, each atomically."""
        content = document.to_json()
        if self.out is not None:
            write_json(self.out, content)
        if self.pyperf is not None:
            write_pyperf(document, self.pyperf)
        if self.markdown is not None:
            write_bytes(self.markdown, markdown([content]).encode())
        if self.html is not None:
            # This imports plotly and jinja2.
            from edgerec.reports.bench.page import page

            write_bytes(self.html, page([content]).encode())
