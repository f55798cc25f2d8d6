"""Build the distributions, and install the wheel into empty environments of several versions of Python.

    python -m tests.proof.wheel BUNDLE LOGS [--python 3.11]... [--extra device]... [--out FILE] [--page PAGE] [--json]

The build has all files that git tracks and nothing else. In each environment the wheel is installed with one extra:
first pip downloads all wheels, then it installs them without a network, which is timed. Then commands run there:
`base` shows help, `device` verifies, inspects and measures BUNDLE, `cloud` serves the items of LOGS, and `train`,
`export` and `all` simulate users and train a model on them; `export` and `all` also export and verify it.

The exit code is 1 if anything failed, if a Python is not found, or if the wheels of `device`, or what is left after
`trim` deleted what a device does not need, are larger than 100 MB. The untrimmed install is larger, which is only
reported: NumPy and MNN bound it (docs/dependencies.md). `--page` writes the table between the marker lines of a page.

`--out` writes the result to a file after each environment. What the file has already for an equal wheel is not measured
again, so a long run can be stopped, or done in parts.

Default: `base`, `device` and `all` with each Python, and all extras of `EXTRAS` with Python 3.11.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edgerec.cli.output import emit, table_of
from edgerec.core.console import log
from tests.proof.wheel_build import build
from tests.proof.wheel_installs import find_python, measure

PYTHONS = ("3.10", "3.11", "3.12", "3.13")
EXTRAS = ("base", "device", "cloud", "train", "export", "all")
ON_EACH = ("base", "device", "all")
SIZED = "3.11"
"""The Python with which all extras are measured."""
LARGEST_DEVICE = 100e6
MARKERS = ("<!-- install -->\n", "<!-- /install -->\n")
COLUMNS = ("extra", "Python", "packages", "download, MB", "installed, MB", "trimmed, MB", "seconds", "what ran there")


def run(out: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Build and measure. Return a document with the sizes, a row for each environment, and all faults."""
    built = build(out / "dist")
    digest = hashlib.sha256(built.wheel.read_bytes()).hexdigest()
    document: dict[str, Any] = {
        "wheel_sha256": digest,
        "wheel_bytes": built.wheel.stat().st_size,
        "sdist_bytes": built.sdist.stat().st_size,
        "rows": kept(options.out, digest),
        "not_tried": [],
    }
    for version in options.python or PYTHONS:
        python = find_python(version)
        if python is None:
            document["not_tried"].append(version)
            continue
        for extra in options.extra or (EXTRAS if version == SIZED else ON_EACH):
            if any((short(row["python"]), row["extra"]) == (version, extra) for row in document["rows"]):
                continue
            log(f"wheel: Python {version}, {extra}")
            with TemporaryDirectory(prefix="environment-", dir=out) as folder:
                paths = {"bundle": options.bundle.resolve(), "logs": options.logs.resolve()}
                row = measure(python, built.wheel, extra, folder=Path(folder) / "new", **paths)
            log(f"wheel: {row.size / 1e6:.0f} MB, {row.seconds:.0f} s, {', '.join(row.steps)} {row.fault}")
            document["rows"].append(row.document())
            document["faults"] = [*built.faults, *_faults(document["rows"])]
            if options.out:
                options.out.write_text(json.dumps(document, indent=2) + "\n")
    return {**document, "faults": [*built.faults, *_faults(document["rows"])]}


def kept(path: Path | None, digest: str) -> list[dict[str, Any]]:
    """Return the rows without a fault of an earlier run with the same wheel.

    Args:
        path: the result of the earlier run, or None.
        digest: the SHA-256 of the wheel.
    """
    if path is None or not path.is_file():
        return []
    earlier = json.loads(path.read_text("utf-8"))
    return [row for row in earlier["rows"] if not row["fault"]] if earlier.get("wheel_sha256") == digest else []


def _faults(rows: list[dict[str, Any]]) -> list[str]:
    faults = [f"Python {row['python']}, {row['extra']}: {row['fault']}" for row in rows if row["fault"]]
    for row in rows:
        if row["extra"] == "device" and max(row["download"], row["trimmed"] or 0) > LARGEST_DEVICE:
            faults.append(f"Python {row['python']}: the wheels or the trimmed packages of device exceed 100 MB")
    return faults


def cells(document: dict[str, Any]) -> list[list[str]]:
    """Return the rows of the table, with the extras in the order of `EXTRAS`."""
    rows = sorted(document["rows"], key=lambda row: (EXTRAS.index(row["extra"]), PYTHONS.index(short(row["python"]))))
    return [
        [
            row["extra"],
            short(row["python"]),
            str(row["packages"]),
            f"{row['download'] / 1e6:.1f}",
            f"{row['size'] / 1e6:.1f}",
            "" if row["trimmed"] is None else f"{row['trimmed'] / 1e6:.1f}",
            f"{row['seconds']:.0f}",
            row["fault"] or ", ".join(row["steps"]),
        ]
        for row in rows
    ]


def short(version: str) -> str:
    return ".".join(version.split(".")[:2])


def write_table(page: Path, document: dict[str, Any]) -> None:
    """Write the table of `document` between the markers of a Markdown page."""
    text = page.read_text(encoding="utf-8")
    lines = [COLUMNS, ["---"] * len(COLUMNS), *cells(document)]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    begin, end = MARKERS
    changed, count = re.subn(f"{begin}.*?{end}", lambda _: f"{begin}{table}{end}", text, flags=re.DOTALL)
    if count != 1:
        raise SystemExit(f"wheel: {page} should have one pair of lines {begin.strip()} and {end.strip()}")
    page.write_text(changed, encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.proof.wheel", description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("logs", type=Path)
    parser.add_argument("--python", action="append", choices=PYTHONS)
    parser.add_argument("--extra", action="append", choices=EXTRAS)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--page", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with TemporaryDirectory(prefix="edgerec-wheel-") as folder:
        document = run(Path(folder), options)
    if options.page:
        write_table(options.page, document)
    emit(document, as_json=options.json, table=table_of(COLUMNS, cells(document)))
    log(f"wheel: {document['wheel_bytes']:,} bytes, source distribution: {document['sdist_bytes']:,} bytes")
    for version in document["not_tried"]:
        log(f"wheel: Python {version} was not tried, because there is no python{version} on PATH and in pyenv")
    for row in document["rows"]:
        if row["extra"] == "device" and row["size"] > LARGEST_DEVICE:
            log(f"wheel: Python {row['python']}: device misses 100 MB installed: {row['size'] / 1e6:.1f} MB")
    for fault in document["faults"]:
        log(f"wheel: {fault}")
    return int(bool(document["faults"] or document["not_tried"]))


if __name__ == "__main__":
    sys.exit(main())
