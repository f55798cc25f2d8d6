"""The command `bench train`."""

from __future__ import annotations

from pathlib import Path

import click

from edgerec.cli.command import need
from edgerec.cli.options import (
    FOLDER_OR_URL,
    batch_size_option,
    config_option,
    document_option,
    force_option,
    json_option,
    rounds_option,
)
from edgerec.cli.output import emit
from edgerec.cli.tensorflow import import_tensorflow


@click.command(name="train")
@click.argument("samples", type=FOLDER_OR_URL)
@config_option("training settings, as for `edgerec train`. The model is always crban.")
@batch_size_option
@click.option(
    "--batches",
    type=int,
    default=12,
    show_default=True,
    help="Number of different batches. Each round makes one training step with each of them.",
)
@rounds_option(5)
@document_option
@force_option
@json_option
def bench_train(
    samples: Path | str,
    config: Path | None,
    batch_size: int | None,
    batches: int,
    rounds: int,
    out: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Measure training steps of crban and of the same model in plain Keras.

    Steps of crban are also measured with 15 thousand and with 1.5 million rows in the largest embedding table.
    """
    need("train", "polars", "tensorflow", "psutil")
    from edgerec.data.remote.fetch import local
    from edgerec.data.samples import open_samples
    from edgerec.model.config import load_config

    settings = load_config(config, {"batch_size": batch_size, "model": "crban"})
    opened = open_samples(local(samples, head="samples.json"))
    import_tensorflow()
    from edgerec.bench.training import run_training_bench
    from edgerec.cli.tables.bench import training_table

    document = run_training_bench(opened, settings, batches=batches, rounds=rounds, out=out, force=force)
    emit(document, as_json=as_json, table=training_table(document))
