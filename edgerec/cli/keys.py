"""Load the key of the option `--public-key`, and the token of `--token-file`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgerec.cli.command import need
from edgerec.core.errors import InputError

if TYPE_CHECKING:
    from edgerec.bundle.signing import PublicKey

_MAX_TOKEN = 4096


def load_key(path: Path | None) -> PublicKey | None:
    """Load the public key in the file `path`. Return None if `path` is None."""
    if path is None:
        return None
    need("signing", "cryptography")
    from edgerec.bundle.signing import load_public_key

    return load_public_key(path)


def load_token(path: Path | None) -> str | None:
    """Return the token in the file `path`, without white space around it. Return None if `path` is None.

    Raises:
        InputError: the file cannot be read, or does not contain one token.
    """
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_TOKEN + 1)
    except OSError as error:
        raise InputError(f"token: {path} cannot be read ({error.strerror}): check the path") from None
    token = content.decode("ascii", errors="replace").strip()
    if len(content) > _MAX_TOKEN or not token.isascii() or len(token.split()) != 1 or not token.isprintable():
        raise InputError(f"token: {path} should contain one token of printable ASCII characters: check the file")
    return token
