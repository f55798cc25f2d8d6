"""Convert MemoryError to an error of EdgeRec."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from edgerec.core.errors import ResourceError


@contextlib.contextmanager
def enough_memory(path: Path) -> Iterator[None]:
    """Convert a MemoryError of the block to a `ResourceError`. The block opens `path`.

    Raises:
        ResourceError: there is not enough memory.
    """
    try:
        yield
    except MemoryError:
        raise ResourceError(f"{path} cannot be opened, because there is not enough memory: free some memory") from None
