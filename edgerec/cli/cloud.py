"""The command of the cloud: `serve`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from edgerec.cli.command import need, until_stopped
from edgerec.cli.front import front_options
from edgerec.cli.keys import load_key
from edgerec.cli.options import PATH, WholeNumber, check_needed, public_key_option
from edgerec.cli.redis_options import redis_option, redis_prefix_option


@click.command()
@click.argument("bundles", metavar="[BUNDLE]...", nargs=-1, type=PATH)
@click.option(
    "--catalogue",
    required=True,
    type=PATH,
    help="Folder of logs. Its items are the catalogue, and the recall learns from its events. Its specification is for "
    "devices without a model.",
)
@click.option("--logs", type=PATH, help="Folder to write the logs of devices to. Default: logs are refused.")
@click.option(
    "--versions",
    type=PATH,
    help="Versions folder, which `edgerec versions publish` writes. Its live versions are served, and offered to "
    "devices. The server follows changes while it runs.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", type=WholeNumber(0, 65535), default=8008, show_default=True, help="Port. 0 takes a free port.")
@public_key_option
@redis_option("Read embeddings from there instead of the files of the bundles. They must be published there.", False)
@redis_prefix_option
@click.option(
    "--cache-mb",
    type=WholeNumber(0, 1_000_000),
    default=64,
    show_default=True,
    help="With --redis: how many MB of embeddings each version keeps in memory. 0: none.",
)
@click.option(
    "--mix-prices",
    type=PATH,
    help='JSON file with prices of the kinds of a mixed feed, which devices get with a page: {"prices": {"ad": 1.2}}. '
    "A file of `edgerec mix fit` works, too. It is read again when it changes. Default: the prices of the bundles.",
)
@front_options
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON when the server listens.")
def serve(
    bundles: tuple[Path, ...],
    catalogue: Path,
    logs: Path | None,
    versions: Path | None,
    host: str,
    port: int,
    public_key: Path | None,
    redis_url: str | None,
    redis_prefix: str,
    cache_mb: int,
    mix_prices: Path | None,
    as_json: bool,
    **front: Any,
) -> None:
    """Serve pages, item embeddings and logs over HTTP, in the version of each BUNDLE.

    Without a BUNDLE and --versions, devices without a model are served: their behaviours and orders are logged. The
    command runs until it gets SIGINT (Ctrl-C) or SIGTERM. The interface is described at /docs, and in docs/cloud.md.
    """
    for name in ("redis_prefix", "cache_mb"):
        check_needed(name, "--redis", redis_url)
    need("cloud", "numpy", "polars", "fastapi", "uvicorn")
    key = load_key(public_key)
    from edgerec.cloud.front.settings import FrontSettings
    from edgerec.cloud.serve import serve as run_server
    from edgerec.cloud.settings import ServerSettings

    embeddings = None
    if redis_url is not None:
        need("cloud", "redis")
        from edgerec.cloud.embedding_source import RedisEmbeddings

        embeddings = RedisEmbeddings(redis_url, prefix=redis_prefix, cache_bytes=cache_mb * 10**6)
    settings = ServerSettings(
        logs=logs,
        host=host,
        port=port,
        public_key=key,
        versions=versions,
        embeddings=embeddings,
        mix_prices=mix_prices,
        front=FrontSettings(**front),
    )
    with until_stopped():
        run_server(bundles, catalogue, settings, listening=lambda state: _emit(state, as_json=as_json))


def _emit(state: dict[str, Any], *, as_json: bool) -> None:
    """Print one line that says where the server listens."""
    versions = ", ".join(state["versions"]) or "no version"
    line = json.dumps({"schema": 1, **state}) if as_json else f"{state['url']} serves {versions} (Ctrl-C stops it)"
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
