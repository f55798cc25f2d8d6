"""Download the wheels of all packages that a kit installs, for a device without a network."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from edgerec.core.errors import TransportError
from edgerec.kit.archive import Member
from edgerec.kit.versions import pinned

_PLATFORMS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014")
"""The platforms that devices accept: every Linux with glibc 2.28 or later."""


def download_wheels(targets: Sequence[tuple[str, str]]) -> list[Member]:
    """Return the wheels for each machine and version of Python as members of the folder ``wheels``.

    Raises:
        TransportError: pip cannot download them.
    """
    with tempfile.TemporaryDirectory(prefix="edgerec-") as folder:
        for machine, python in targets:
            _download(Path(folder), machine, python)
        return [Member(f"wheels/{path.name}", path.read_bytes()) for path in sorted(Path(folder).glob("*.whl"))]


def _download(folder: Path, machine: str, python: str) -> None:
    platforms = [f"--platform={platform}_{machine}" for platform in _PLATFORMS]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--implementation=cp", f"--python-version={python}", *platforms]
    done = subprocess.run(
        [*command, "--dest", str(folder), *pinned(python)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        reasons = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")] or ["pip failed"]
        raise TransportError(
            f"kit: pip cannot download the wheels for {machine} and Python {python} ({reasons[-1][:300]}): check the "
            "network, or leave out --wheels; the device then downloads them"
        )
