"""Load the key of the option `--public-key`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgerec.cli.command import need

if TYPE_CHECKING:
    from edgerec.bundle.signing import PublicKey


def load_key(path: Path | None) -> PublicKey | None:
    """Load the public key in the file `path`. Return None if `path` is None."""
    if path is None:
        return None
    need("signing", "cryptography")
    from edgerec.bundle.signing import load_public_key

    return load_public_key(path)
