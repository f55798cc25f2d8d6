"""The command `explain`."""

from __future__ import annotations

from pathlib import Path

import click

from edgerec.cli.command import need
from edgerec.cli.keys import load_key
from edgerec.cli.options import PATH, WholeNumber, force_option, json_option, public_key_option
from edgerec.cli.output import emit


@click.command()
@click.argument("bundle", type=PATH)
@click.argument("logs", type=PATH)
@click.option(
    "--request",
    "request_id",
    type=int,
    help="ID of the request, from the table of requests. Default: of the latest clicked requests of 100 users, the one "
    "in which behaviours raised a clicked item by most positions.",
)
@click.option(
    "--top",
    type=WholeNumber(1, 1000),
    default=5,
    show_default=True,
    help="Number of best candidates to show, beside the clicked ones. The JSON document has all candidates.",
)
@click.option("--html", type=PATH, help="Also write a page with pictures to this file.")
@public_key_option
@force_option
@json_option
def explain(
    bundle: Path,
    logs: Path,
    request_id: int | None,
    top: int,
    html: Path | None,
    public_key: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Show which behaviours of the user put the candidates of a request in LOGS in their order.

    For each candidate and each behaviour, the models of BUNDLE score the request with the behaviour and as if the
    device had never recorded it. The difference of the scores is the effect of the behaviour. Attention weights are
    read out of the device's ranking model. Figure 6 of the paper shows such a case.
    """
    need("all", *(["plotly", "jinja2"] if html is not None else []), "polars", "MNN")
    key = load_key(public_key)
    from edgerec.core.atomic import write_bytes
    from edgerec.reports.page import check_page

    if html is not None:
        check_page(html, force=force, inputs=[bundle, logs])
    from edgerec.cli.tables.explanation import explanation_table
    from edgerec.explanation.explain import run_explain

    document = run_explain(bundle, logs, request_id=request_id, top=top, public_key=key)
    if html is not None:
        from edgerec.reports.explanation.page import page

        write_bytes(html, page(document).encode())
    emit(document, as_json=as_json, table=explanation_table(document))
