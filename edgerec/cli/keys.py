"""Load the key of the option `--public-key`, and the token of `--token-file`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgerec.core.errors import InputError

if TYPE_CHECKING:
    from edgerec.bundle.signing import PublicKey

_MAX_TOKEN = 4096
_MAX_FILE = 1 << 20


def load_key(path: Path | None) -> PublicKey | None:
    """Load the public key in the file `path`. Return None if `path` is None."""
    if path is None:
        return None
    from edgerec.bundle.signing import load_public_key

    return load_public_key(path)


def load_token(path: Path | None) -> str | None:
    """Return the token in the file `path`. Return None if `path` is None.

    The file contains one token, or lines `NAME TOKEN` like the file of `edgerec serve --tokens`. Then the token of the
    first line is taken; a line that begins with `#` is a comment.

    Raises:
        InputError: the file cannot be read, or does not contain one token.
    """
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_FILE + 1)
    except OSError as error:
        raise InputError(f"token: {path} cannot be read ({error.strerror}): check the path") from None
    text = content.decode("ascii", errors="replace")
    lines = [words for words in map(str.split, text.splitlines()) if words and not words[0].startswith("#")]
    first = lines[0] if lines else []
    token = first[-1] if len(first) == 2 or (len(first) == 1 and len(lines) == 1) else ""
    if len(content) > _MAX_FILE or not 0 < len(token) <= _MAX_TOKEN or not (token.isascii() and token.isprintable()):
        raise InputError(
            f"token: {path} should contain one token of printable ASCII characters, or lines `NAME TOKEN`: check it"
        )
    if len(first) == 2 and token.startswith("sha256:"):
        raise InputError(f"token: {path} has only the digest of its first token: give a file with the token itself")
    return token
