"""Bind a measurement to some processors, so that the system does not move it from one to another."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence

import psutil

from edgerec.core.errors import InputError


def parse_cpus(text: str) -> list[int]:
    """Return the processors that `text` names, for example ``"0,2-3"``.

    Raises:
        InputError: `text` is not such a list.
    """
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        numbers = (first, last) if dash else (first,)
        if not all(number.isascii() and number.isdigit() and len(number) < 6 for number in numbers):
            raise InputError(f"bench: --cpu should be a list of processors, such as 0 or 0,2-3; received {text!r:.80}")
        start, end = int(numbers[0]), int(numbers[-1])
        if end < start:
            raise InputError(f"bench: --cpu: the range {part.strip()} should begin with the smaller number")
        found.update(range(start, end + 1))
    return sorted(found)


@contextlib.contextmanager
def bound_to(cpus: Sequence[int] | None) -> Iterator[None]:
    """Bind this thread, and the processes that it starts, to `cpus` for the block. None changes nothing.

    Raises:
        InputError: a processor does not exist or cannot be used, or the system cannot bind processes.
    """
    if cpus is None:
        yield
        return
    before = usable()
    if before is None:
        raise InputError("bench: this system cannot bind a process to processors: leave --cpu out")
    for cpu in cpus:
        if cpu not in before:
            raise InputError(
                f"bench: --cpu should name processors that this process may use ({', '.join(map(str, before))}); "
                f"received {cpu}"
            )
    _bind(cpus)
    try:
        yield
    finally:
        _bind(before)


def usable() -> list[int] | None:
    """Return the processors that this process may use, or None if the system does not tell."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    try:
        return sorted(psutil.Process().cpu_affinity())
    except (AttributeError, psutil.Error):  # macOS
        return None


def _bind(cpus: Sequence[int]) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpus)
    else:
        psutil.Process().cpu_affinity(list(cpus))
