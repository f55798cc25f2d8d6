"""The command `replay`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgerec.cli.command import need
from edgerec.cli.keys import load_key
from edgerec.cli.options import PATH, document_option, force_option, json_option, public_key_option, seed_option
from edgerec.cli.output import emit
from edgerec.cli.tensorflow import import_tensorflow

if TYPE_CHECKING:
    from edgerec.bench.replay.replay import Mode


@click.command()
@click.argument("bundle", type=PATH)
@click.argument("logs", type=PATH)
@click.option(
    "--mode",
    type=click.Choice(["forced", "free"]),
    default="forced",
    show_default=True,
    help="forced: the logged exposures in the logged order. free: the order of the client, on pages of the server's "
    "recall.",
)
@click.option(
    "--run",
    type=PATH,
    help="The run of the bundle. Keras then scores the same requests, and the samples of both logs are compared.",
)
@click.option(
    "--requests",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    help="Users are chosen at random until they have this many requests.",
)
@click.option("--all", "everything", is_flag=True, help="Play the logs of all users.")
@seed_option("Seed of the choice of users.")
@click.option("--received", type=PATH, help="Folder for the logs that the devices send. Default: they are not kept.")
@click.option("--html", type=PATH, help="Also write a page with Table 3 and the distributions to this file.")
@public_key_option
@document_option
@force_option
@json_option
def replay(
    bundle: Path,
    logs: Path,
    mode: Mode,
    run: Path | None,
    requests: int,
    everything: bool,
    seed: int,
    received: Path | None,
    html: Path | None,
    public_key: Path | None,
    out: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Play the behaviour in LOGS through a client, its store and the models of BUNDLE, against a server.

    The server runs in a process of its own on this machine. The result has Table 3 of the paper: delay of behaviours,
    response time and feedback, on the device and by the cloud alone. With --run, the exit code is 1 if scores of the
    device and of Keras differ by more than 1e-4.
    """
    pages = ["plotly", "jinja2"] if html is not None else []
    need("all", *pages, "polars", "MNN", "psutil", "fastapi", "uvicorn", *(["tensorflow"] if run is not None else []))
    key = load_key(public_key)
    from edgerec.core.atomic import check_document, check_output, write_bytes, write_json
    from edgerec.reports.page import check_page

    inputs = [each for each in (bundle, logs, run) if each is not None]
    if received is not None:
        check_output(received, force=force, kind="logs", inputs=inputs)
    if out is not None:
        check_document(out, force=force, inputs=inputs)
    if html is not None:
        check_page(html, force=force, inputs=inputs)
    from edgerec.bench.replay.replay import run_replay
    from edgerec.cli.tables.replay import replay_table

    document: dict[str, Any] = run_replay(
        bundle,
        logs,
        mode=mode,
        run=run,
        requests=None if everything else requests,
        seed=seed,
        received=received,
        force=force,
        public_key=key,
        before_comparison=import_tensorflow,
    )
    if out is not None:
        write_json(out, {"schema": 1, **document})
    if html is not None:
        from edgerec.reports.replay.page import page

        write_bytes(html, page(document).encode())
    emit(document, as_json=as_json, table=replay_table(document))
