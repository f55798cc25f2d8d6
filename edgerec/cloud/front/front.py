"""All settings of what stands in front of the routes, as objects that are open."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgerec.cloud.front.access_log import AccessLog
from edgerec.cloud.front.rates import Rate
from edgerec.cloud.front.tokens import Tokens


def no_fault() -> str | None:
    """Return None: the server should get requests."""
    return None


@dataclass(frozen=True)
class Front:
    """Who may ask and how often, and what can be seen from outside. What is None costs nothing.

    Attributes:
        tokens: a request needs one of them; None: everybody may ask.
        token_rate: how many requests each token may make.
        user_rate: how many pages and model offers each user may ask for, and how many batches of logs they may send.
        metrics: whether `/metrics` exists.
        access_log: gets a line for each request.
        fault: returns why the server should get no requests now (`/v1/ready`); None: it should get them.
    """

    tokens: Tokens | None = None
    token_rate: Rate | None = None
    user_rate: Rate | None = None
    metrics: bool = False
    access_log: AccessLog | None = None
    fault: Callable[[], str | None] = no_fault


NO_FRONT = Front()
"""Everybody may ask, as often as they like; there are no metrics and no access log."""
