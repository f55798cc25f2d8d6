"""The command `edgerec init`: a converter and a specification for tables of impressions and clicks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from edgerec.cli.command import need
from edgerec.cli.options import PATH, Command, WholeNumber, json_option, out_option
from edgerec.cli.output import emit

ROLES = {
    "user": "the user",
    "item": "the item that was shown",
    "time": "when it was shown",
    "clicked": "whether it was clicked",
    "list": "the ID of the list or request",
    "position": "its place in the list",
    "seen": "whether it was on the screen",
    "seen_seconds": "how long it was on the screen",
    "dwell": "how long its page was open",
    "score": "the score that ordered the list",
}
"""The roles that an option can name. `edgerec.data.starting.roles` has the same names, but it imports polars."""


def _role_options(command: Command) -> Command:
    """Add an option for each role."""
    for name, text in reversed(ROLES.items()):
        option: Callable[[Command], Command] = click.option(
            f"--{name.replace('_', '-')}",
            f"role_{name}",
            metavar="COLUMN",
            multiple=True,
            help=f"Column with {text}.",
        )
        command = option(command)
    return command


@click.command("init")
@click.argument("files", nargs=-1, required=True, type=PATH, metavar="FILE...")
@out_option("script and the specification")
@_role_options
@click.option("--ignore", multiple=True, metavar="COLUMN", help="Column that is not used. May be given several times.")
@click.option(
    "--clicked-at-least",
    type=float,
    metavar="NUMBER",
    help="The smallest number in the column of --clicked that counts as a click.",
)
@click.option("--clicks-file", type=PATH, help="The FILE with the clicks, if that is not clear.")
@click.option("--items-file", type=PATH, help="The FILE with the items, if that is not clear.")
@click.option(
    "--rows",
    type=WholeNumber(100, 100_000_000),
    default=500_000,
    show_default=True,
    help="Number of rows that are read of each file, from its beginning.",
)
@json_option
def init(
    files: tuple[Path, ...],
    out: Path,
    ignore: tuple[str, ...],
    clicked_at_least: float | None,
    clicks_file: Path | None,
    items_file: Path | None,
    rows: int,
    as_json: bool,
    **roles: tuple[str, ...],
) -> None:
    """Write a converter and a feature specification for your own impressions and clicks.

    FILE is a CSV or Parquet file with one row for each item that was shown, or for each list. There may be a second one
    with the clicks, and one with the items. The roles of columns are guessed from names and values; the options below
    name them. The script is OUT/make_logs.py, the specification OUT/features.json. docs/tutorial.md goes on from there.
    """
    need("train", "polars", "jinja2")
    from edgerec.data.starting.start import write_start

    document = write_start(
        list(files),
        out,
        told={name.removeprefix("role_"): columns for name, columns in roles.items() if columns},
        ignored=ignore,
        clicked_at_least=clicked_at_least,
        clicks=clicks_file,
        items=items_file,
        rows=rows,
    )
    if as_json:
        emit(document, as_json=True)
        return
    from edgerec.cli.tables.starting import starting_table

    emit(document, as_json=False, table=starting_table(document))
