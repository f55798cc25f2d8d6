"""The exact versions of the packages that a kit installs."""

from __future__ import annotations

from pathlib import Path

PYTHONS = ("3.10", "3.11", "3.12", "3.13")
"""The versions of Python that a kit supports."""
MACHINES = ("x86_64", "aarch64")
"""The machines that a kit supports, as `uname -m` names them."""

_FILE = Path(__file__).with_name("constraints.txt")


def constraints() -> bytes:
    """Return the constraints file for pip. It holds for all of `MACHINES` and `PYTHONS`."""
    return _FILE.read_bytes()


def pinned(python: str) -> list[str]:
    """Return the requirements for one version of Python, such as ``numpy==2.4.6``.

    pip evaluates a condition such as ``python_version < "3.11"`` for the Python that runs pip. A download for another
    version therefore needs requirements without conditions.
    """
    older = _number(python) < (3, 11)
    found = []
    for line in _FILE.read_text(encoding="utf-8").splitlines():
        requirement, _, condition = line.partition(";")
        if requirement.startswith("#") or condition.strip() == f'python_version {">=" if older else "<"} "3.11"':
            continue
        found.append(requirement.strip())
    return found


def _number(python: str) -> tuple[int, ...]:
    return tuple(map(int, python.split(".")))
