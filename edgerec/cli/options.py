"""Options that several commands share. Where the help differs between commands, a function makes the option."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

Command = TypeVar("Command", bound=Callable[..., Any])


class NamedPath(click.Path):
    """Type of a path. An empty text is an error, because `Path("")` would be the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("the name is empty: give a path", param, ctx)
        return super().convert(value, param, ctx)


PATH = NamedPath(path_type=Path, readable=False)
"""Type of all paths. Click does not check that a path is readable, because the function that reads it does."""


class FolderOrUrl(NamedPath):
    """Type of a folder that may be on an object store. A URL such as s3://bucket/logs stays a text."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from edgerec.core.urls import is_url

        return value if is_url(value) else super().convert(value, param, ctx)


FOLDER_OR_URL = FolderOrUrl(path_type=Path, readable=False)


class Number(click.FloatRange):
    """Type of a number within bounds. NaN is no number. Its error says what is expected."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            number = super().convert(value, param, ctx)
        except click.BadParameter:
            number = math.nan
        if math.isnan(number):
            self.fail(f"should be a number from {self.min:g} to {self.max:g}; received {value!r}", param, ctx)
        return number


SHARE = Number(0, 1)
"""Type of a share of the users."""


class WholeNumber(click.IntRange):
    """Type of a whole number within bounds. Its error says what is expected, also for a value that is no number."""

    name = "integer"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            bounds = f"of at least {self.min}" if self.max is None else f"from {self.min} to {self.max}"
            self.fail(f"should be a whole number {bounds}; received {value!r}", param, ctx)


def check_needed(name: str, other: str, value: object) -> None:
    """Refuse an option that would be ignored because the option `other` is not given.

    Args:
        name: name of the parameter of the present command.
        other: the option that it needs.
        value: the value of `other`; None: it is not given.

    Raises:
        UsageError: the option is given without the other one.
    """
    context = click.get_current_context()
    given = context.get_parameter_source(name) not in (None, ParameterSource.DEFAULT)
    if given and value is None:
        option = next(each for each in context.command.params if each.name == name)
        raise click.UsageError(f"{option.opts[0]} needs {other}: give both", context)


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of a table.")
force_option = click.option(
    "--force", is_flag=True, help="Replace an existing output, but only if EdgeRec wrote all of it."
)
processes_option = click.option(
    "--processes",
    type=WholeNumber(1, 1024),
    help="Number of processes that run at the same time. Default: one for each core.",
)
public_key_option = click.option(
    "--public-key",
    type=PATH,
    help="PEM file with an Ed25519 public key. A bundle that is not signed with the matching private key is refused.",
)
oracle_logs_option = click.option(
    "--logs",
    type=PATH,
    help="With --oracle: folder of the logs that the samples were made from. Default: the path stored in the samples.",
)
document_option = click.option(
    "--out", type=PATH, help="Also write the results to this file, as JSON with all raw measurements."
)


def config_default(value: object) -> str:
    """Return the sentence of a help text that states the default `value` of an option that --config can also set."""
    return f"Default: {value}, or the value in the --config file."


BY_SIZE = "by the size of the samples (docs/training.md)"
epochs_option = click.option("--epochs", type=int, help=f"Maximum number of epochs. {config_default(BY_SIZE)}")
batch_size_option = click.option(
    "--batch-size", type=int, help=f"Number of requests in each training step. {config_default(BY_SIZE)}"
)


class ModelOption(click.Option):
    """The option `--model`. Its help lists the installed models, so the registry is only imported for the help."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        from edgerec.rankers.registry import model_names

        self.help = f"Model to train: {', '.join(model_names())}. {config_default('crban')}"
        return super().get_help_record(ctx)


def out_option(what: str, *, type_: click.Path = PATH) -> Callable[[Command], Command]:
    """Return the option `--out PATH`, the folder to which a command writes `what`."""
    return click.option("--out", required=True, type=type_, help=f"Folder to write the {what} to.")


def config_option(text: str) -> Callable[[Command], Command]:
    """Return the option `--config PATH`, a TOML file. `text` continues the sentence "TOML file with ..."."""
    return click.option("--config", type=PATH, help=f"TOML file with {text}")


def resume_option(what: str) -> Callable[[Command], Command]:
    """Return the option `--resume`, which continues `what`."""
    return click.option("--resume", is_flag=True, help=f"Continue {what}.")


def rounds_option(default: int) -> Callable[[Command], Command]:
    """Return the option `--rounds N`, the number of rounds of a measurement."""
    return click.option(
        "--rounds",
        type=WholeNumber(1, 100_000),
        default=default,
        show_default=True,
        help="Number of measurement rounds. Each round measures all implementations, one after the other.",
    )


def split_option(names: list[str], text: str) -> Callable[[Command], Command]:
    """Return the option `--split NAME`, which selects a split of the samples."""
    return click.option("--split", type=click.Choice(names), default="test", show_default=True, help=text)


def table_dtype_option(text: str) -> Callable[[Command], Command]:
    """Return the option `--table-dtype TYPE`, the data type of stored embedding tables."""
    return click.option(
        "--table-dtype", type=click.Choice(["float32", "float16"]), default="float32", show_default=True, help=text
    )


def shard_rows_option(text: str) -> Callable[[Command], Command]:
    """Return the option `--shard-rows N`, the maximum number of rows in a shard of an embedding table."""
    return click.option("--shard-rows", type=int, default=1 << 20, show_default=True, help=text)


def seed_option(text: str) -> Callable[[Command], Command]:
    """Return the option `--seed N`. Its default is 1."""
    return click.option("--seed", type=WholeNumber(min=0), metavar="N", default=1, show_default=True, help=text)
