"""What is installed in a process, as far as results depend on it. All workers of a cluster need the same."""

from __future__ import annotations

import platform
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import edgerec

PACKAGES = ("polars", "numpy", "pydantic", "distributed")
"""Packages of others whose version must be the same. polars writes its version into each Parquet file."""


@cache
def installation() -> dict[str, str]:
    """Return the versions of Python, EdgeRec and `PACKAGES`, a digest of EdgeRec's source, and the processor's type.

    Floating-point results of two types of processors may differ in the last bit.
    """
    return {
        "Python": ".".join(platform.python_version_tuple()[:2]),
        "edgerec": edgerec.__version__,
        "the source of edgerec": _digest(Path(edgerec.__file__).parent),
        **{name: _version(name) for name in PACKAGES},
        "the processor": platform.machine(),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _digest(folder: Path) -> str:
    """Return a digest of the Python files in `folder`. The number of a version alone does not tell clones apart."""
    whole = sha256()
    for file in sorted(folder.rglob("*.py")):
        # With line ends of this system, because git may have changed them.
        whole.update(f"{file.relative_to(folder).as_posix()}\n{file.read_text(encoding='utf-8')}".encode())
    return whole.hexdigest()[:12]
