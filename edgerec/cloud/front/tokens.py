"""The tokens that the server accepts. They are read from a file, which may change while the server runs.

A line of the file is `NAME TOKEN` or `NAME sha256:DIGEST`; a line that begins with `#` is a comment. Several tokens are
valid at once. So a new token is added first, then devices get it, and then the old one is removed.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from edgerec.core.errors import ConfigurationError

SHORTEST = 20
"""Minimum number of characters of a token. Shorter ones could be guessed."""
LOOK_S = 1.0
"""The file is looked at so often, in seconds."""
_MOST_BYTES = 1 << 20
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TOKEN = re.compile(rf"[A-Za-z0-9._~+/=-]{{{SHORTEST},1000}}")
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_LOG = logging.getLogger(__name__)
_Stamp = tuple[int, int, int]


class Tokens:
    """The tokens of a file. Only their digests are in memory.

    If the file changes, the new tokens are valid within a second. If it then cannot be read or has a fault, the tokens
    that were valid before stay valid, and the log gets one line.

    Args:
        path: the file.
        clock: the time in seconds.

    Raises:
        ConfigurationError: the file cannot be read, or a line is not valid.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._clock = path, clock
        self._look_at = clock() + LOOK_S
        self._stamp: _Stamp | None = _stamp(path)
        self._digests = tuple(read_tokens(path).items())

    def name_of(self, authorization: bytes | None) -> str | None:
        """Return the name of the token in a header `Authorization: Bearer TOKEN`; None if it is not valid."""
        if self._clock() >= self._look_at:
            self._look()
        if authorization is None or authorization[:7].lower() != b"bearer ":
            return None
        digest = hashlib.sha256(authorization[7:].strip(b" ")).digest()
        found = None
        # Every token is compared, in constant time, so the duration says nothing about the tokens.
        for valid, name in self._digests:
            if hmac.compare_digest(valid, digest):
                found = name
        return found

    def _look(self) -> None:
        self._look_at = self._clock() + LOOK_S
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._digests = tuple(read_tokens(self._path).items())
        except ConfigurationError as error:
            _LOG.error("%s; the tokens that were read before stay valid", error)
        else:
            _LOG.warning("tokens: read again; valid: %s", ", ".join(name for _, name in self._digests))


def read_tokens(path: Path) -> Mapping[bytes, str]:
    """Read a file of tokens. Return the name of each, by its SHA-256 digest.

    Raises:
        ConfigurationError: the file cannot be read, a line is not valid, or there is no token. The text has no token.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        text = content.decode("ascii")
    except OSError as error:
        raise ConfigurationError(f"tokens: {path} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"tokens: {path} should have only ASCII characters") from None
    if len(content) > _MOST_BYTES:
        raise ConfigurationError(f"tokens: {path} should have at most {_MOST_BYTES} bytes; it has more")
    found: dict[bytes, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        name, digest = _parsed(words, f"tokens: {path}: line {number}")
        if name in found.values() or digest in found:
            raise ConfigurationError(f"tokens: {path}: line {number}: its name or its token is there twice")
        found[digest] = name
    if not found:
        raise ConfigurationError(f"tokens: {path} should have at least one line `NAME TOKEN`; it has none")
    return found


def _parsed(words: list[str], where: str) -> tuple[str, bytes]:
    """Return name and digest of a line. No error text has a word of the line: name and token could be swapped."""
    if len(words) != 2:
        raise ConfigurationError(f"{where} should be `NAME TOKEN`; it has {len(words)} words")
    name, token = words
    if not _NAME.fullmatch(name):
        raise ConfigurationError(f"{where}: the name should have at most 64 letters, digits and the characters . _ -")
    digest = _DIGEST.fullmatch(token)
    if digest:
        return name, bytes.fromhex(digest[1])
    if not _TOKEN.fullmatch(token):
        raise ConfigurationError(
            f"{where}: the token should have {SHORTEST} to 1000 letters, digits and the characters . _ ~ + / = -; make "
            "one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )
    return name, hashlib.sha256(token.encode()).digest()


def _stamp(path: Path) -> _Stamp | None:
    """Return what changes if the file changes; None if it cannot be read."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
