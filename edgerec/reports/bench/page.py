"""The HTML page of `edgerec bench`: everything that was measured, for one device or for several side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgerec.reports.bench.blocks import blocks_of
from edgerec.reports.bench.devices import Document, devices_of
from edgerec.reports.bench.plots import plots_of
from edgerec.reports.sections import render_sections


def page(documents: Sequence[Document], files: Sequence[Path] = ()) -> str:
    """Return the page as text. Equal documents give equal text.

    Args:
        documents: documents of `edgerec bench` (`BenchDocument.to_json`) and of `edgerec replay`.
        files: the files of the documents. Their names tell equal devices apart.
    """
    devices = devices_of(documents, files)
    plots = plots_of(devices)
    blocks = blocks_of(documents, files, letters=True)
    letters = devices_of(documents, files, letters=True)
    return render_sections(
        "bench/page.html.jinja",
        title="Benchmark",
        definitions="docs/bench.md",
        blocks=blocks,
        plots=plots,
        marks=("excellent", "required", "missed", "unknown", "unsteady"),
        devices=[
            f"{letter.label}: {device.label}" if len(devices) > 1 else device.label
            for letter, device in zip(letters, devices, strict=True)
        ],
    )
