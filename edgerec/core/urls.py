"""URLs of folders on object stores, such as ``s3://bucket/logs``. fsspec reads and writes them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

from edgerec.core.errors import InputError, MissingExtraError, OutputError, not_installed
from edgerec.core.text import shown

_URL = re.compile(r"[a-z][a-z0-9+.-]+://.+", re.DOTALL)


def is_url(value: object) -> bool:
    """Return whether `value` is a URL and not a path."""
    return isinstance(value, str) and _URL.fullmatch(value) is not None


def shown_url(url: str) -> str:
    """Return `url` for an error text, without a user name, a password or parameters."""
    protocol, _, rest = url.partition("://")
    return shown(f"{protocol}://{rest.partition('?')[0].rpartition('@')[2]}")


def open_store(url: str) -> tuple[Any, str]:
    """Return the fsspec file system of `url`, and the folder within it.

    Credentials and the address of the store come from the environment or from the configuration of fsspec and of the
    store's own client.

    Raises:
        InputError: no file system has the protocol of `url`.
        MissingExtraError: fsspec, or its package for the protocol, is not installed.
    """
    try:
        import fsspec
    except ModuleNotFoundError:
        raise MissingExtraError(not_installed("fsspec", "remote")) from None
    with store_errors(url):
        try:
            store, folder = fsspec.core.url_to_fs(url, use_listings_cache=False)
        except ImportError:
            package = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}.get(
                url.partition(":")[0], "the package of fsspec for this protocol"
            )
            raise MissingExtraError(f"{shown_url(url)} needs {package}: install it (docs/clusters.md)") from None
    return store, folder.rstrip("/")


@contextlib.contextmanager
def store_errors(url: str, *, writing: bool = False) -> Iterator[None]:
    """Turn errors of an object store into one line. Its own texts are left out, because they may contain secrets."""
    try:
        yield
    except (InputError, OutputError, MissingExtraError):
        raise
    except Exception as error:
        reasons: dict[type[Exception], str] = {
            FileNotFoundError: "it does not exist",
            PermissionError: "the access is denied: check the credentials and their permissions",
        }
        reason = reasons.get(type(error), f"{type(error).__name__}: check the address and the credentials")
        kind = OutputError if writing else InputError
        raise kind(f"{shown_url(url)} cannot be {'written' if writing else 'read'} ({reason})") from None
