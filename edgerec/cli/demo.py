"""The command of the demo: `demo`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
from click.core import ParameterSource

from edgerec.cli.command import need, until_stopped
from edgerec.cli.options import PATH, WholeNumber, check_needed
from edgerec.cli.tensorflow import import_tensorflow


@click.command()
@click.argument("bundle", metavar="[BUNDLE]", required=False, type=PATH)
@click.option("--catalogue", type=PATH, help="With BUNDLE: folder of logs. Its items are the catalogue.")
@click.option(
    "--out",
    type=PATH,
    default=Path("demo"),
    show_default=True,
    help="Without BUNDLE: folder for a small world and its model. It is made at the first start, and reused later. A "
    "folder of `edgerec quickstart` works, too.",
)
@click.option("--port", type=WholeNumber(0, 65535), default=8010, show_default=True, help="Port. 0 takes a free port.")
@click.option("--no-browser", is_flag=True, help="Do not open the browser.")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON when the server listens.")
def demo(bundle: Path | None, catalogue: Path | None, out: Path, port: int, no_browser: bool, as_json: bool) -> None:
    """Show a feed in the browser that is re-ranked while you scroll and tap.

    Bucket A has the order of the cloud. Bucket B is re-ranked by the model of BUNDLE, or of a small simulated world.
    The page is served at 127.0.0.1 only. The command runs until it gets SIGINT (Ctrl-C) or SIGTERM. Then what you did
    in the page is deleted.
    """
    check_needed("catalogue", "BUNDLE", bundle)
    context = click.get_current_context()
    if bundle is not None and catalogue is None:
        raise click.UsageError("BUNDLE needs --catalogue: the logs whose items the page shows", context)
    if bundle is not None and context.get_parameter_source("out") is not ParameterSource.DEFAULT:
        raise click.UsageError(
            "--out is the folder of the demo's own bundle: leave it out, or leave out BUNDLE", context
        )
    need("all", "numpy", "polars", "MNN", "psutil", "fastapi", "uvicorn")
    from edgerec.demo.folder import DemoParts, made_before

    parts = made_before(out) if bundle is None or catalogue is None else DemoParts(bundle, catalogue)
    if parts is None:
        need("all", "tensorflow", "onnx", "onnxruntime")
        from edgerec.core.atomic import check_output
        from edgerec.core.errors import OutputError

        if out.exists():  # `check_output` would name --force, which this command does not have.
            raise OutputError(
                f"output {out} exists already, and `edgerec demo` did not write it: choose another --out, or remove it "
                "yourself"
            )
        check_output(out, kind="demo")
    from edgerec.demo.serve import listen_here, open_browser, run_demo

    def listening(url: str) -> None:
        line = json.dumps({"schema": 1, "url": url}) if as_json else f"{url} shows the demo (Ctrl-C stops it)"
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
        if not no_browser:
            open_browser(url)

    with listen_here(port) as listener:
        if parts is None:
            import_tensorflow()
            from edgerec.demo.prepare import prepare_demo

            parts = prepare_demo(out)
        with until_stopped():
            run_demo(parts, listener=listener, listening=listening)
