"""The commands of a versions folder: `versions publish`, `share`, `retire` and `list`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

from edgerec.cli.command import need
from edgerec.cli.keys import load_key
from edgerec.cli.options import PATH, SHARE, check_needed, json_option, public_key_option
from edgerec.cli.output import emit, table_of

_in_option = click.option("--in", "folder", required=True, type=PATH, help="Versions folder.")


@click.group()
def versions() -> None:
    """Change which versions a running server serves and offers to devices.

    `edgerec serve --versions FOLDER` follows the folder: it sees a change within about a second, without a restart.
    """


@versions.command()
@click.argument("bundle", type=PATH)
@click.option("--to", "folder", required=True, type=PATH, help="Versions folder. It is made if it does not exist.")
@click.option(
    "--share",
    type=SHARE,
    help="Share of users that the version is offered to, from 0 to 1. The others are offered the newest of the older "
    "versions whose share contains them. Default: the share that the version has in the list, also as a retired one; 1 "
    "if it is new.",
)
@click.option("--catalogue", type=PATH, help="Folder of logs: check that its items have all columns that BUNDLE reads.")
@click.option(
    "--replace",
    is_flag=True,
    help="Also if the version is live with another manifest, such as one that was signed again. Its models and tables "
    "must be the same.",
)
@public_key_option
@json_option
def publish(
    bundle: Path,
    folder: Path,
    share: float | None,
    catalogue: Path | None,
    replace: bool,
    public_key: Path | None,
    as_json: bool,
) -> None:
    """Check BUNDLE, copy it to the versions folder, and add it as the newest live version.

    BUNDLE is a whole bundle. All of its files and numbers are checked, but its models are not run: `edgerec verify`
    does that. A version that was retired becomes live again.
    """
    need("cloud", "numpy", *(["polars"] if catalogue is not None else []))
    key = load_key(public_key)
    from edgerec.cloud.version_folder import publish as publish_bundle

    entry = publish_bundle(bundle, folder, share=share, public_key=key, replace=replace, catalogue=catalogue)
    emit({"path": str(folder), **entry.model_dump(mode="json")}, as_json=as_json)
    if share is None and entry.share < 1:
        _note(f"version {entry.version_id} keeps its last share, {entry.share:g}; --share sets another one")
    _say_offered(folder)


@versions.command()
@click.argument("version_id", metavar="VERSION")
@click.argument("value", metavar="SHARE", type=SHARE)
@_in_option
@json_option
def share(version_id: str, value: float, folder: Path, as_json: bool) -> None:
    """Change the share of users that VERSION is offered to. SHARE is from 0 (nobody) to 1 (everybody).

    Users who are in a share stay in it when it grows. Devices that run VERSION are served as before.
    """
    need("cloud", "numpy")
    from edgerec.cloud.version_folder import set_share

    entry = set_share(version_id, value, folder)
    emit({"path": str(folder), **entry.model_dump(mode="json")}, as_json=as_json)
    _say_offered(folder)


@versions.command()
@click.argument("version_id", metavar="VERSION")
@_in_option
@click.option("--delete", is_flag=True, help="Also remove its files and its entry, also of a retired version.")
@json_option
def retire(version_id: str, folder: Path, delete: bool, as_json: bool) -> None:
    """Stop serving VERSION. Devices that run it get the status 404, which names the version that they should run.

    Its files stay, so that `versions publish` can make it live again, unless --delete is given.
    """
    need("cloud", "numpy")
    from edgerec.cloud.version_folder import retire as retire_version

    entry = retire_version(version_id, folder, delete=delete)
    emit({"path": str(folder), **entry.model_dump(mode="json"), "deleted": delete}, as_json=as_json)
    _say_offered(folder)


@versions.command("list")
@click.argument("folder", type=PATH)
@click.option("--server", metavar="URL", help="Also ask this server which versions it really serves, and why not.")
@click.option(
    "--token-file",
    type=PATH,
    help="With --server: file with the token that the server asks for, or with lines `NAME TOKEN`, of which the first "
    "counts.",
)
@json_option
def list_versions(folder: Path, server: str | None, token_file: Path | None, as_json: bool) -> None:
    """List the versions in FOLDER in the order in which they were published, the newest last."""
    check_needed("token_file", "--server", server)
    need("cloud", "numpy")
    from edgerec.cli.keys import load_token
    from edgerec.cloud.served_state import served_state
    from edgerec.cloud.version_list import read_versions, unlisted

    state = served_state(server, token=load_token(token_file)) if server is not None else None
    rows: list[dict[str, Any]] = [entry.model_dump(mode="json") for entry in read_versions(folder).versions]
    if state is not None:
        for row in rows:
            row["served"] = row["version_id"] in state.served
            row["error"] = state.refused.get(row["version_id"])
    document = {"path": str(folder), "server": server, "versions": rows, "unlisted": unlisted(folder)}
    retired = ["retired_at"] if any(row["retired_at"] for row in rows) else []
    columns = ["version_id", "state", "share", "published_at", *retired, *(["served"] if state else [])]
    cells = [[_cell(column, row[column]) for column in columns] for row in rows]
    emit(document, as_json=as_json, table=table_of(columns, cells, texts=len(columns)))
    for line in _notes(document):
        _note(line)


def _note(line: str) -> None:
    click.echo(f"edgerec: {line}", err=True)


def _say_offered(folder: Path) -> None:
    """Say which share of the users is offered a version, if some are offered none."""
    from edgerec.cloud.version_list import read_versions

    offered = read_versions(folder).offered
    if offered < 1:
        # Rounded down, so that 100 % is only said of everybody. Sums of shares have errors of about 1e-16.
        _note(f"now {math.floor(offered * 1e4 + 1e-6) / 100:g} % of the users are offered a version")


def _cell(column: str, value: object) -> str:
    # A table has the dates only, so that it fits a terminal. JSON has the times, too.
    return _text(value).partition("T")[0] if column.endswith("_at") else _text(value)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else "" if value is None else str(value)


def _notes(document: dict[str, Any]) -> list[str]:
    """Return lines about versions that the server refuses, and about folders that the list does not name."""
    notes = [
        f"the server refuses version {row['version_id']}: {row['error']}"
        for row in document["versions"]
        if row.get("error")
    ]
    if document["unlisted"]:
        names = ", ".join(document["unlisted"])
        notes.append(f"versions.json does not name these folders, which may be removed: {names}")
    return notes
