"""Integer IDs for strings, by a hash that needs no stored table (docs/your-logs.md, "IDs")."""

from __future__ import annotations

import hashlib

from edgerec.core.errors import InputError


def hash_id(text: str) -> int:
    """Return the integer ID of a string: the first 63 bits of its BLAKE2b hash of 8 bytes, read as big-endian.

    The ID is the same in every run, on every machine, and in every language that has BLAKE2b. The probability that two
    of a million strings have the same ID is below 1 in 10 million.

    Raises:
        InputError: `text` is not a string, or not valid Unicode.
    """
    if not isinstance(text, str):
        raise InputError(f"hash_id: `text` should be a string; received {text!r:.80}")
    try:
        data = text.encode()
    except UnicodeEncodeError:
        raise InputError(f"hash_id: `text` should be valid Unicode; received {text!r:.80}") from None
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big") >> 1
