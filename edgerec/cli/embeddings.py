"""The commands on embedding tables in Redis: `embeddings publish`, `list`, `switch`, `remove`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgerec.cli.command import need
from edgerec.cli.keys import load_key
from edgerec.cli.options import PATH, WholeNumber, json_option, public_key_option
from edgerec.cli.output import emit, table_of
from edgerec.cli.redis_options import redis_option, redis_prefix_option

if TYPE_CHECKING:
    from edgerec.kv.redis import RedisStore

_where = redis_option("", True)


@click.group()
def embeddings() -> None:
    """Publish the embedding tables of bundles in Redis."""


@embeddings.command()
@click.argument("bundle", type=PATH)
@_where
@redis_prefix_option
@public_key_option
@click.option("--replace", is_flag=True, help="Replace a version with the same ID, even if all its rows are there.")
@click.option(
    "--bucket-rows",
    type=WholeNumber(1, 2**31),
    help="In a cluster: about how many rows of a table one hash has. Default: 131072.",
)
@json_option
def publish(
    bundle: Path,
    redis_url: str,
    redis_prefix: str,
    public_key: Path | None,
    replace: bool,
    bucket_rows: int | None,
    as_json: bool,
) -> None:
    """Publish the tables of BUNDLE, and make its version current.

    A version that is there already with all its rows stays as it is. `edgerec serve --redis URL` then reads from there.
    """
    need("cloud", "numpy", "redis")
    key = load_key(public_key)
    from edgerec.bundle.layout import CLOUD
    from edgerec.bundle.tables import open_tables
    from edgerec.core.console import stage

    tables = open_tables(bundle / CLOUD, public_key=key)
    with _opened(redis_url, redis_prefix, bucket_rows=bucket_rows) as store:
        missing = replace or not store.has(tables.version_id)
        with stage("publish to Redis"):
            if missing:
                store.publish(tables, replace=replace)
            else:
                store.switch(tables.version_id)
    rows = sum(table.entry.keys for table in tables.tables.values())
    document = {"version_id": tables.version_id, "published": missing, "tables": len(tables.tables), "rows": rows}
    emit(document, as_json=as_json)


@embeddings.command(name="list")
@_where
@redis_prefix_option
@json_option
def list_versions(redis_url: str, redis_prefix: str, as_json: bool) -> None:
    """List the published versions, and whether all their rows are there."""
    need("cloud", "numpy", "redis")
    with _opened(redis_url, redis_prefix) as store:
        current = store.current()
        versions = [
            {"version_id": name, "current": name == current, "complete": store.has(name)} for name in store.versions()
        ]
    rows = [(str(row["version_id"]), *("yes" if row[k] else "no" for k in ("current", "complete"))) for row in versions]
    emit({"versions": versions}, as_json=as_json, table=table_of(("version", "current", "complete"), rows))


@embeddings.command()
@click.argument("version")
@_where
@redis_prefix_option
@json_option
def switch(version: str, redis_url: str, redis_prefix: str, as_json: bool) -> None:
    """Make VERSION the current one. `edgerec serve` reads the versions of its bundles, current or not."""
    need("cloud", "numpy", "redis")
    with _opened(redis_url, redis_prefix) as store:
        store.switch(version)
    emit({"version_id": version, "current": True}, as_json=as_json)


@embeddings.command()
@click.argument("version")
@_where
@redis_prefix_option
@json_option
def remove(version: str, redis_url: str, redis_prefix: str, as_json: bool) -> None:
    """Remove VERSION and its rows. Do so only when no device runs it any more."""
    need("cloud", "numpy", "redis")
    with _opened(redis_url, redis_prefix) as store:
        store.remove(version)
    emit({"version_id": version, "removed": True}, as_json=as_json)


@contextlib.contextmanager
def _opened(url: str, prefix: str, *, bucket_rows: int | None = None) -> Iterator[RedisStore]:
    from edgerec.kv.redis import RedisStore

    sizes = {} if bucket_rows is None else {"bucket_rows": bucket_rows}
    store = RedisStore(url, prefix=prefix, **sizes)
    try:
        yield store
    finally:
        store.close()
