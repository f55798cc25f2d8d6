"""The commands on documents that `edgerec bench` wrote: `bench report`."""

from __future__ import annotations

from pathlib import Path

import click

from edgerec.cli.command import need
from edgerec.cli.options import PATH, force_option, json_option
from edgerec.cli.output import emit


@click.command(name="report")
@click.argument("files", type=PATH, nargs=-1, required=True, metavar="FILE...")
@click.option("--html", type=PATH, help="Write a page with tables and plots to this file.")
@click.option("--markdown", type=PATH, help="Write the tables to this file, for a pull request.")
@force_option
@json_option
def bench_report(files: tuple[Path, ...], html: Path | None, markdown: Path | None, force: bool, as_json: bool) -> None:
    """Show what `edgerec bench --out FILE` measured, on one device or on several side by side.

    A FILE can also be a document of `edgerec replay --out FILE`: the report then has its Table 3.
    """
    need("device", "numpy")
    if html is not None:
        need("train", "plotly", "jinja2")
    from edgerec.core.atomic import write_bytes
    from edgerec.reports.bench.markdown import check_markdown
    from edgerec.reports.bench.markdown import markdown as to_markdown
    from edgerec.reports.page import check_page

    if html is not None:
        check_page(html, force=force, inputs=files)
    if markdown is not None:
        check_markdown(markdown, force=force, inputs=files)
    from edgerec.bench.report_documents import read_report_document
    from edgerec.cli.tables.bench_documents import report_tables

    documents = [read_report_document(path) for path in files]
    if html is not None:
        from edgerec.reports.bench.page import page

        write_bytes(html, page(documents, files).encode())
    if markdown is not None:
        write_bytes(markdown, to_markdown(documents, files).encode())
    emit({"documents": documents}, as_json=as_json, table=report_tables(documents, files))
