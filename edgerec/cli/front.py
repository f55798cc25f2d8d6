"""The options of `serve` that say who may ask and how often, and what can be seen from outside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from edgerec.cli.options import PATH, Number


def _rate(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    """Check a rate, such as 20/second."""
    from edgerec.cloud.front.rates import Rate
    from edgerec.core.errors import ConfigurationError

    try:
        return value if value is None else Rate(value).text
    except ConfigurationError as error:
        raise click.BadParameter(str(error).removeprefix("rate: "), context, option) from None


_OPTIONS = (
    click.option(
        "--tokens",
        type=PATH,
        help="File with a line `NAME TOKEN` for each token. Without a valid token, only /v1/health and /v1/ready "
        "answer. The file may change while the server runs.",
    ),
    click.option(
        "--token-rate",
        metavar="RATE",
        callback=_rate,
        help="How many requests each token may make, such as 500/second. Default: all.",
    ),
    click.option(
        "--user-rate",
        metavar="RATE",
        callback=_rate,
        help="How many pages and model offers each user may ask for, and how many batches of logs they may send, such "
        "as 20/second. Default: all.",
    ),
    click.option("--metrics", is_flag=True, help="Offer the metrics for Prometheus at /metrics."),
    click.option(
        "--access-log", type=PATH, help="File to which a line of JSON is appended for each request; - is stderr."
    ),
    click.option(
        "--ssl-certfile", "certificate", type=PATH, help="PEM file with a certificate: the server speaks HTTPS."
    ),
    click.option(
        "--ssl-keyfile", "key", type=PATH, help="PEM file with the key of the certificate, without a password."
    ),
    click.option(
        "--drain",
        "drain_s",
        metavar="SECONDS",
        type=Number(0, 3600),
        default=0.0,
        show_default=True,
        help="How long the server still answers after SIGTERM, while /v1/ready says 503.",
    ),
)


def front_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
