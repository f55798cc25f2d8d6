"""The address of a Redis server or of a Redis Cluster."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from edgerec.core.errors import InputError

OPTIONS = (
    *("db", "username", "password", "client_name", "max_connections"),
    *("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname"),
)
"""Allowed query options of an address. The other options of redis-py would change what the client returns."""
_SCHEMES = ("redis", "rediss", "unix", "redis+cluster", "rediss+cluster")


@dataclass(frozen=True)
class Address:
    """The checked address of a server or a cluster.

    Attributes:
        scheme: ``redis``, ``rediss`` (TLS) or ``unix``.
        url: the address of the first server in the form of redis-py.
        others: host and port of further servers of a cluster.
        cluster: whether the servers are a cluster.
    """

    scheme: str
    url: str
    others: tuple[tuple[str, int], ...]
    cluster: bool


def parse_address(url: str) -> Address:
    """Check an address. A cluster's address may name several servers: ``redis+cluster://host:port,host:port``.

    Raises:
        InputError: the address has another form, or an option that is not in `OPTIONS`.
    """
    try:
        if not isinstance(url, str):
            raise ValueError
        parts = urlsplit(url)
        for name in parse_qs(parts.query, keep_blank_values=True):
            if name not in OPTIONS:
                raise InputError(
                    f"embedding store: the address has the option {name!r}; allowed are {', '.join(OPTIONS)}: leave it "
                    "out"
                )
        if parts.scheme not in _SCHEMES:
            raise ValueError
        database = parts.path.strip("/") if parts.scheme != "unix" else ""
        if database:
            int(database)
        scheme, _, cluster = parts.scheme.partition("+")
        login, at, servers = parts.netloc.rpartition("@")
        if not cluster:
            return Address(scheme, url, (), cluster=False)
        first, *others = servers.split(",")
        query = f"?{parts.query}" if parts.query else ""
        return Address(
            scheme,
            f"{scheme}://{login}{at}{first}{parts.path}{query}",
            tuple(_host_and_port(server) for server in others),
            cluster=True,
        )
    except ValueError:
        raise wrong_address() from None


def wrong_address() -> InputError:
    """Return the error for an address of another form. It does not quote the address, which may have a password."""
    return InputError(
        "embedding store: the address should be redis://host:port/database, rediss://..., unix://path or "
        "redis+cluster://host:port,host:port; received another form"
    )


def _host_and_port(server: str) -> tuple[str, int]:
    parts = urlsplit(f"//{server}")
    if parts.hostname is None:
        raise ValueError
    return parts.hostname, parts.port or 6379
