"""Options that name a store of embeddings in Redis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

ENVIRONMENT = "EDGEREC_REDIS"
"""The environment variable for the address. Other users of a machine see the arguments of a process."""


def redis_option(text: str, required: bool) -> Callable[[Command], Command]:
    """Return the option `--redis URL`, the address of a server or a cluster. `text` says what it is for."""
    return click.option(
        "--redis",
        "redis_url",
        metavar="URL",
        envvar=ENVIRONMENT,
        show_envvar=True,
        required=required,
        help="Redis server (redis://host:port) or Redis Cluster (redis+cluster://host:port,host:port). " + text,
    )


redis_prefix_option = click.option(
    "--prefix", "redis_prefix", default="edgerec", show_default=True, help="Start of all keys in Redis."
)
