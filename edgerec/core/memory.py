"""Memory that runs out is an error of EdgeRec."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from edgerec.core.errors import ResourceError


@contextlib.contextmanager
def enough_memory(path: Path) -> Iterator[None]:
    """Make one clear error of a MemoryError while `path` is opened.

    Raises:
        ResourceError: there is not enough memory.
    """
    try:
        yield
    except MemoryError:
        raise ResourceError(f"{path} cannot be opened: there is not enough memory: free some") from None
