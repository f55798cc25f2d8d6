"""The commands of `edgerec import`. There is one for each data source, and it has the options of that source."""

from __future__ import annotations

import time
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import click

from edgerec.cli.command import need
from edgerec.cli.options import PATH, force_option, json_option, out_option
from edgerec.cli.output import emit
from edgerec.data.sources import find_source, source_help, source_names


class ImportGroup(click.Group):
    """The group `edgerec import`. It imports a source only when its command runs, so listing the names is fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return source_names()

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in source_names():
            return None

        @click.command(cls=ImportCommand, name=cmd_name, help=source_help(cmd_name))
        @click.argument("source", type=PATH)
        @out_option("logs")
        @force_option
        @json_option
        def command(source: Path, out: Path, force: bool, as_json: bool, **options: Any) -> None:
            from edgerec.data.sources.importing import import_source

            start = time.perf_counter()
            counts = import_source(find_source(cmd_name), source, out, force=force, **options)
            emit({"logs": str(out), **counts, "seconds": time.perf_counter() - start}, as_json=as_json)

        return command


class ImportCommand(click.Command):
    """The command of one source. It imports the source to find the options of that source."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        need("train", "polars")
        source, out, *rest = super().get_params(ctx)
        return [source, out, *_options(find_source(str(self.name))), *rest]


def _options(source: type[Any]) -> list[click.Option]:
    """Return the options of a source. Each field whose annotation has a help text is an option."""
    types = get_type_hints(source, include_extras=True)
    options = []
    for field in fields(source):
        if get_origin(types[field.name]) is Annotated:
            value_type, text = get_args(types[field.name])
            options.append(
                click.Option(
                    [f"--{field.name.replace('_', '-')}"],
                    type=click.Choice(get_args(value_type)) if get_origin(value_type) is Literal else value_type,
                    default=field.default,
                    show_default=True,
                    help=text,
                )
            )
    return options


import_group = ImportGroup(name="import", help="Convert a public data set to logs.")
