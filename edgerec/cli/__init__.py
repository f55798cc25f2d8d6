"""The command line. A command parses its options, imports what it needs, and calls one function.

The result goes to stdout, as a table or, with ``--json``, as JSON. Progress and logs go to stderr. Exit codes: 0 for
success, 1 for an expected error or a failed check, 2 for wrong usage, 130 for an interrupt.
"""

from __future__ import annotations

from pathlib import Path

import click

from edgerec import __version__
from edgerec.cli.bench import bench
from edgerec.cli.bench_cloud import bench_cloud
from edgerec.cli.bench_documents import bench_compare, bench_report
from edgerec.cli.bench_mix import bench_mix
from edgerec.cli.bench_training import bench_train
from edgerec.cli.cloud import serve
from edgerec.cli.command import need, run
from edgerec.cli.demo import demo
from edgerec.cli.device import export, inspect, verify
from edgerec.cli.embeddings import embeddings
from edgerec.cli.experiments import abtest, loop
from edgerec.cli.explaining import explain
from edgerec.cli.forgetting import forget
from edgerec.cli.importing import import_group
from edgerec.cli.kit import kit
from edgerec.cli.learning import ablate, evaluate, train
from edgerec.cli.logs import as_of, check, samples, simulate, stats
from edgerec.cli.mixing import mix
from edgerec.cli.off_policy import off_policy
from edgerec.cli.options import PATH, force_option, json_option, seed_option
from edgerec.cli.output import emit
from edgerec.cli.personalizing import meta_train, personalize
from edgerec.cli.pictures import picture
from edgerec.cli.replaying import replay
from edgerec.cli.starting import init
from edgerec.cli.tensorflow import import_tensorflow
from edgerec.cli.versions import versions
from edgerec.core.plugins import before_import


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="edgerec")
def cli() -> None:
    """Train a re-ranker for a feed, split it, convert it to MNN and run it on the user's device."""


@cli.command()
@click.option("--out", type=PATH, default=Path("quickstart"), show_default=True, help="Folder for all outputs.")
@click.option(
    "--users",
    type=int,
    help="Number of simulated users. With fewer users the command is faster, but the model learns less. Default: 1200.",
)
@click.option("--epochs", type=int, help="Maximum number of training epochs. Default: 6.")
@seed_option("Seed of the simulation and of the training.")
@force_option
@json_option
def quickstart(out: Path, users: int | None, epochs: int | None, seed: int, force: bool, as_json: bool) -> None:
    """Run all steps at a small size, in a few minutes.

    The steps are simulate, samples, train, evaluate, export, verify, bench, and replay against a server.
    """
    need("all", "polars", "tensorflow", "onnx", "onnxruntime", "MNN", "psutil")
    from edgerec.core.atomic import check_output

    check_output(out, force=force, kind="quickstart")
    import_tensorflow()
    from edgerec.cli.tables.quickstart import quickstart_table
    from edgerec.quickstart import run_quickstart

    sizes = {name: value for name, value in (("users", users), ("epochs", epochs)) if value is not None}
    document = run_quickstart(out, seed=seed, force=force, **sizes)
    emit(document, as_json=as_json, table=quickstart_table(document))


for _command in (
    demo,
    init,
    import_group,
    simulate,
    check,
    as_of,
    samples,
    stats,
    train,
    evaluate,
    ablate,
    export,
    verify,
    inspect,
    bench,
    kit,
    embeddings,
    serve,
    forget,
    versions,
    replay,
    abtest,
    loop,
    off_policy,
    mix,
    meta_train,
    personalize,
    explain,
    picture,
):
    cli.add_command(_command)
bench.add_command(bench_cloud)
bench.add_command(bench_compare)
bench.add_command(bench_mix)
bench.add_command(bench_report)
bench.add_command(bench_train)


def main() -> None:
    """Run the command line. An expected error becomes one line on stderr and exit code 1."""
    # Models of other packages import TensorFlow, often before the command does, and so with its messages.
    before_import["edgerec.models"] = import_tensorflow
    run(cli)
