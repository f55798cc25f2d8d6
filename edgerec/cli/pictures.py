"""The command `picture`: a result as a static picture."""

from __future__ import annotations

from pathlib import Path

import click

from edgerec.cli.options import PATH, force_option, json_option
from edgerec.cli.output import emit


@click.command()
@click.argument("result", type=PATH)
@click.option("--out", type=PATH, required=True, help="Picture to write, such as rates.svg.")
@force_option
@json_option
def picture(result: Path, out: Path, force: bool, as_json: bool) -> None:
    """Draw a result as a picture (SVG) for a page such as a README.

    RESULT is `ab_test.json` of `edgerec abtest`, or a document of `edgerec bench --out`. The picture of a test shows
    click rates by display position, and uplifts. The picture of a measurement compares engines. It is readable on
    light and dark pages, and equal results give equal files.
    """
    from edgerec.core.atomic import write_bytes
    from edgerec.reports.markdown import check_report
    from edgerec.reports.pictures.ab_test import ab_test_picture
    from edgerec.reports.pictures.bench import bench_picture
    from edgerec.reports.pictures.documents import AbTest, read_result
    from edgerec.reports.pictures.svg import BEGIN

    check_report(out, begin=BEGIN, command="edgerec picture", force=force, inputs=[result])
    document = read_result(result)
    content = (ab_test_picture(document) if isinstance(document, AbTest) else bench_picture(document)).encode()
    write_bytes(out, content)
    emit({"picture": str(out), "kind": document.kind, "bytes": len(content)}, as_json=as_json)
