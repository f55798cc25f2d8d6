"""The settings of what stands in front of the routes, and how they become open objects."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edgerec.cloud.front.access_log import AccessLog
from edgerec.cloud.front.front import Front
from edgerec.cloud.front.rates import Rate
from edgerec.cloud.front.tokens import Tokens
from edgerec.core.errors import ConfigurationError

STDERR = Path("-")
"""As the file of the access log: standard error."""


@dataclass(frozen=True)
class FrontSettings:
    """Who may ask and how often, and what can be seen from outside.

    Attributes:
        tokens: the file of tokens; None: everybody may ask.
        token_rate: how many requests each token may make, such as `500/second`.
        user_rate: how many pages and model offers each user may ask for, and how many batches of logs they may send.
        metrics: whether `/metrics` exists.
        access_log: the file of the access log; `-` is standard error, None: there is no access log.
        certificate, key: the PEM files for TLS; None: the server speaks HTTP without TLS.
        drain_s: how long the server still answers after it was asked to stop, in seconds. `/v1/ready` then says that
            it stops.

    Raises:
        ConfigurationError: settings do not fit together.
    """

    tokens: Path | None = None
    token_rate: str | None = None
    user_rate: str | None = None
    metrics: bool = False
    access_log: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    drain_s: float = 0.0

    def __post_init__(self) -> None:
        if self.token_rate is not None and self.tokens is None:
            raise ConfigurationError("serve: --token-rate needs --tokens: a request without a token has no rate")
        if self.key is not None and self.certificate is None:
            raise ConfigurationError("serve: --ssl-keyfile needs --ssl-certfile: give both")

    @contextlib.contextmanager
    def open(self, fault: Callable[[], str | None]) -> Iterator[Front]:
        """Yield the open objects. `fault` returns why the server should get no requests now; None: it should get them.

        Raises:
            ConfigurationError: the file of tokens or a rate is not valid.
            OutputError: the access log cannot be written.
        """
        tokens = None if self.tokens is None else Tokens(self.tokens)
        token_rate, user_rate = (None if text is None else Rate(text) for text in (self.token_rate, self.user_rate))
        log = None
        if self.access_log is not None:
            log = AccessLog(None if self.access_log == STDERR else self.access_log)
        try:
            yield Front(tokens, token_rate, user_rate, self.metrics, log, fault)
        finally:
            if log is not None:
                log.close()
