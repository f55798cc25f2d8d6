"""Options that several commands share. An option whose help differs is a function of what differs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

PATH = click.Path(path_type=Path, readable=False)
"""An unreadable path is an error of the function that reads it, so click does not check it."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of a table.")
force_option = click.option("--force", is_flag=True, help="Replace the output if EdgeRec wrote all of it.")
processes_option = click.option(
    "--processes",
    type=click.IntRange(1, 1024),
    help="Number of processes that run at the same time; default: one for each core.",
)
public_key_option = click.option(
    "--public-key", type=PATH, help="PEM file with an Ed25519 public key: refuse a bundle that its owner did not sign."
)
oracle_logs_option = click.option(
    "--logs", type=PATH, help="Folder of the logs that the samples were made from, if it was moved; for --oracle."
)
document_option = click.option(
    "--out", type=PATH, help="Also write the JSON document, with all raw measurements, to this file."
)


def out_option(what: str) -> Callable[[Command], Command]:
    """`--out PATH`: the folder to write `what` to."""
    return click.option("--out", required=True, type=PATH, help=f"Folder to write the {what} to.")


def config_option(text: str) -> Callable[[Command], Command]:
    """`--config PATH`: a TOML file."""
    return click.option("--config", type=PATH, help=f"TOML file {text}")


def resume_option(what: str) -> Callable[[Command], Command]:
    """`--resume`: go on with stopped work."""
    return click.option("--resume", is_flag=True, help=f"Continue {what}.")


def rounds_option(default: int) -> Callable[[Command], Command]:
    """`--rounds N`: how often contestants take turns."""
    return click.option(
        "--rounds",
        type=int,
        default=default,
        show_default=True,
        help="Number of rounds. Contestants take turns in each round.",
    )


def split_option(names: list[str], text: str) -> Callable[[Command], Command]:
    """`--split NAME`: a period of the samples."""
    return click.option("--split", type=click.Choice(names), default="test", show_default=True, help=text)


def table_dtype_option(text: str) -> Callable[[Command], Command]:
    """`--table-dtype TYPE`: stored type of embedding tables."""
    return click.option(
        "--table-dtype", type=click.Choice(["float32", "float16"]), default="float32", show_default=True, help=text
    )


def shard_rows_option(text: str) -> Callable[[Command], Command]:
    """`--shard-rows N`: rows in each shard of an embedding table."""
    return click.option("--shard-rows", type=int, default=1 << 20, show_default=True, help=text)


def seed_option(text: str) -> Callable[[Command], Command]:
    """`--seed N`, 1 by default."""
    return click.option("--seed", type=int, default=1, show_default=True, help=text)
