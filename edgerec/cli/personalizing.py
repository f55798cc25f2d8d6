"""The commands `meta-train` and `personalize`: patches that make the shared model a user's own."""

from __future__ import annotations

import time
from pathlib import Path

import click

from edgerec.cli.command import need
from edgerec.cli.options import PATH, WholeNumber, force_option, json_option, out_option, seed_option
from edgerec.cli.output import emit
from edgerec.cli.stored_patches import inspect, reset
from edgerec.cli.tensorflow import import_tensorflow

_users = click.option(
    "--users",
    type=WholeNumber(20, 1_000_000),
    default=5000,
    show_default=True,
    help="The largest number of users. If SAMPLES have more, a seed chooses them. Memory grows with their exposures.",
)
_split = click.option(
    "--split",
    type=click.Choice(["validation", "test", "both"]),
    default="test",
    show_default=True,
    help="Split of the samples to read. It did not train the model.",
)
_features = click.option(
    "--features",
    type=click.Choice(["all", "hidden"]),
    default="all",
    show_default=True,
    help="What a patch reads: the last hidden layer and the candidate vector, or the hidden layer alone.",
)
_rank = click.option(
    "--rank",
    type=WholeNumber(1, 255),
    help="For the method prior: number of directions of a patch. Default: all.",
)


def _splits(split: str) -> list[str]:
    return ["validation", "test"] if split == "both" else [split]


@click.command("meta-train")
@click.argument("samples", type=PATH)
@click.option("--from", "run", type=PATH, required=True, help="Folder of the run whose model is shared.")
@click.option("--out", type=PATH, required=True, help="File to write the head to (.npz).")
@click.option(
    "--method",
    default="prior",
    show_default=True,
    help="Method: finetune, finetune_refit, maml, maml_first_order, meta_sgd, paml, paml_no_memory or prior.",
)
@_features
@_rank
@_split
@_users
@seed_option("Seed of what is random.")
@force_option
@json_option
def meta_train(
    samples: Path,
    run: Path,
    out: Path,
    method: str,
    features: str,
    rank: int | None,
    split: str,
    users: int,
    seed: int,
    force: bool,
    as_json: bool,
) -> None:
    """Learn from many users of SAMPLES how a device trains a patch for one user (docs/personalization.md).

    The result is a head for the model version of the run: what a patch reads, where it starts, and how it is trained.
    """
    need("train", "polars", "tensorflow")
    if rank is not None and method != "prior":
        raise click.UsageError(f"--rank belongs to the method prior; received the method {method}: leave --rank out.")
    from edgerec.core.atomic import FILE, check_output, write_bytes
    from edgerec.data.samples import open_samples
    from edgerec.model.personalization.methods import check_exported

    check_exported(method)
    opened = open_samples(samples)
    check_output(out, force=force, kind=FILE, inputs=[samples, run])
    import_tensorflow()
    from edgerec.model.personalization.meta_train import meta_train as learn
    from edgerec.model.personalization.on_device import check_patches
    from edgerec.model.personalization.reading import read_activations
    from edgerec.model.runs import load_run

    began = time.perf_counter()
    loaded = load_run(run)
    check_patches(loaded.model)
    activations = read_activations(loaded, opened, _splits(split), users=users, seed=seed)
    found = learn(
        activations,
        method,
        version_id=loaded.head.version_id,
        candidate=features == "all",
        rank=rank,
        seed=seed,
    )
    write_bytes(out, found.head.to_bytes())
    seconds = time.perf_counter() - began
    emit({"head": str(out), **found.document, "seconds": seconds}, as_json=as_json)


@click.group()
def personalize() -> None:
    """Patches that make the shared model a user's own: measure them, or see those of a device's store."""


personalize.add_command(inspect)
personalize.add_command(reset)


@personalize.command()
@click.argument("run", type=PATH)
@click.argument("samples", type=PATH)
@out_option("table")
@click.option(
    "--methods",
    default="user_bias,finetune,maml,paml,prior,other_user",
    show_default=True,
    help="Methods, separated by commas (docs/personalization.md lists them). shared and refit are always measured.",
)
@click.option(
    "--seeds",
    type=WholeNumber(1, 100),
    default=5,
    show_default=True,
    help="Number of seeds. Each one splits the users into other parts.",
)
@click.option(
    "--folds",
    type=WholeNumber(2, 20),
    default=3,
    show_default=True,
    help="Number of parts of the users. The users of each part are measured with what the other parts have taught.",
)
@_features
@_rank
@_split
@_users
@force_option
@json_option
def evaluate(
    run: Path,
    samples: Path,
    out: Path,
    methods: str,
    seeds: int,
    folds: int,
    features: str,
    rank: int | None,
    split: str,
    users: int,
    force: bool,
    as_json: bool,
) -> None:
    """Compare methods of personalization of the model RUN on users of SAMPLES.

    Patches learn from the first 60 % of a user's pages and are measured on the others, with the training of the device.
    What all users share is learnt from other users.
    """
    need("train", "polars", "tensorflow")
    from edgerec.core.atomic import check_output
    from edgerec.data.samples import open_samples
    from edgerec.model.personalization.methods import check_methods

    names = check_methods([name.strip() for name in methods.split(",")])
    check_output(out, force=force, kind="personal_evaluation", inputs=[run, samples])
    opened = open_samples(samples)
    import_tensorflow()
    from rich.console import Group

    from edgerec.cli.tables.block import block_table
    from edgerec.model.personalization.evaluate import evaluate_personalization
    from edgerec.model.runs import load_run
    from edgerec.reports.personalization import blocks

    document = evaluate_personalization(
        load_run(run),
        opened,
        out,
        methods=names,
        seeds=seeds,
        folds=folds,
        users=users,
        splits=_splits(split),
        candidate=features == "all",
        rank=rank,
        force=force,
    )
    table = Group(*(block_table(block) for block in blocks(document)))
    emit({"personal_evaluation": str(out), **document}, as_json=as_json, table=table)
