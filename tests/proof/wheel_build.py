"""Build EdgeRec's distributions from the files that git tracks, and compare what is in them with the project."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from edgerec.kit.wheel import build_wheel, wheel_name

ROOT = Path(__file__).parents[2]
MADE_BY_SETUPTOOLS = ("PKG-INFO", "edgerec.egg-info/")
"""What a source distribution contains beside the tracked files."""
TIME = "315532800"
"""The time of all files in the wheel, so that equal files give an equal wheel."""


@dataclass(frozen=True)
class Built:
    """The distributions, and what is wrong with them.

    Attributes:
        wheel: the wheel, which was built from the source distribution.
        sdist: the source distribution.
        faults: one line for each fault.
    """

    wheel: Path
    sdist: Path
    faults: tuple[str, ...]


def build(out: Path) -> Built:
    """Build both distributions in the folder `out`, as `python -m build` does, and check them.

    Raises:
        subprocess.CalledProcessError: the build failed.
    """
    tracked = _tracked()
    tree = out / "tree"
    for name in tracked:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, tree / name)
    done = subprocess.run(
        [sys.executable, "-m", "build", "--outdir", out, tree],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "SOURCE_DATE_EPOCH": TIME},
    )
    if done.returncode:
        sys.stderr.buffer.write(done.stdout)
        done.check_returncode()
    (wheel,), (sdist,) = out.glob("*.whl"), out.glob("*.tar.gz")
    faults = [*_wheel_faults(wheel, tree), *_sdist_faults(sdist, tracked), *_twine_faults(wheel, sdist)]
    faults += [f"the build warns: {line}" for line in done.stdout.decode().splitlines() if "Deprecat" in line]
    return Built(wheel, sdist, tuple(faults))


def _tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout.decode()
    return sorted(name for name in listed.split("\0") if name and (ROOT / name).is_file())


def _wheel_faults(wheel: Path, tree: Path) -> list[str]:
    """Compare the names in the wheel with the package's folder and with the wheel of a device kit."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    wanted = {str(path.relative_to(tree)) for path in (tree / "edgerec").rglob("*") if path.is_file()}
    kit = wheel.with_name(f"kit-{wheel_name()}")
    kit.write_bytes(build_wheel(tree / "edgerec"))
    with zipfile.ZipFile(kit) as archive:
        of_kit = {name for name in archive.namelist() if ".dist-info/" not in name}
    kit.unlink()
    return [
        *(f"the wheel lacks {name}" for name in sorted(wanted - names)),
        *(f"the wheel should not contain {name}" for name in sorted(names - wanted)),
        *(f"the wheel of a kit differs in {name}" for name in sorted(of_kit ^ wanted)),
        *([] if wheel.name == wheel_name() else [f"the wheel is called {wheel.name} and not {wheel_name()}"]),
    ]


def _sdist_faults(sdist: Path, tracked: list[str]) -> list[str]:
    with tarfile.open(sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    found = {name for name in names if not name.startswith(MADE_BY_SETUPTOOLS)}
    return [
        *(f"the source distribution lacks {name}" for name in sorted(set(tracked) - found)),
        *(f"the source distribution should not contain {name}" for name in sorted(found - set(tracked))),
    ]


def _twine_faults(*distributions: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-m", "twine", "check", "--strict", *distributions],
        capture_output=True,
        text=True,
        check=False,
    )
    return [f"twine check: {line}" for line in done.stdout.splitlines() if line.strip()] if done.returncode else []
