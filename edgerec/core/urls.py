"""URLs of folders on object stores, such as ``s3://bucket/logs``. fsspec reads and writes them."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from typing import Any

from edgerec.core.errors import InputError, MissingExtraError, OutputError, not_installed
from edgerec.core.text import shown

_FULL = frozenset([errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
_URL = re.compile(r"[a-z][a-z0-9+.-]+://.+", re.DOTALL)


def is_url(value: object) -> bool:
    """Return whether `value` is a URL and not a path."""
    return isinstance(value, str) and _URL.fullmatch(value) is not None


def check_url(url: str) -> None:
    """Refuse a URL that may contain credentials, because URLs are written into samples and shown in errors.

    Raises:
        InputError: `url` has a user name, a password or parameters.
    """
    if re.search("[@?]", url):
        raise InputError(
            f"a URL that begins with {url.partition('://')[0]}:// has the sign @ or ?: give the folder only, because "
            "credentials come from the environment (docs/clusters.md)"
        )


def open_store(url: str) -> tuple[Any, str]:
    """Return the fsspec file system of `url`, and the folder within it.

    Credentials and the address of the store come from the environment or from the configuration of fsspec and of the
    store's own client.

    Raises:
        InputError: no file system has the protocol of `url`, or `check_url` refuses it.
        MissingExtraError: fsspec, or its package for the protocol, is not installed.
    """
    check_url(url)
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
            raise MissingExtraError(f"{shown(url)} needs {package}: install it (docs/clusters.md)") from None
    return store, folder.rstrip("/")


@contextlib.contextmanager
def store_errors(url: str, *, writing: bool = False) -> Iterator[None]:
    """Turn errors of an object store into one line. Its own texts are left out, because they may contain secrets.

    A full local disk is an OutputError, also while a store is read.
    """
    try:
        yield
    except (InputError, OutputError, MissingExtraError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _FULL:
            what = "written" if writing else "copied"
            raise OutputError(f"{shown(url)} cannot be {what} ({os.strerror(error.errno)}): free some space") from None
        reasons: dict[type[Exception], str] = {
            FileNotFoundError: "it does not exist",
            PermissionError: "the access is denied: check the credentials and their permissions",
        }
        reason = reasons.get(type(error), f"{type(error).__name__}: check the address and the credentials")
        kind = OutputError if writing else InputError
        raise kind(f"{shown(url)} cannot be {'written' if writing else 'read'} ({reason})") from None
