"""Build a wheel of the running EdgeRec, from the files of the installed package.

This works wherever EdgeRec is installed with pip, from a wheel, from a folder, or editable. It needs neither EdgeRec's
source folder nor a build tool.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import zipfile
from importlib import metadata
from pathlib import Path

import edgerec
from edgerec.core.errors import InputError

_TIME = (1980, 1, 1, 0, 0, 0)
_WHEEL = "Wheel-Version: 1.0\nGenerator: edgerec kit\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def wheel_name() -> str:
    """Return the file name of the wheel."""
    return f"edgerec-{edgerec.__version__}-py3-none-any.whl"


def build_wheel(package: Path | None = None) -> bytes:
    """Return the bytes of the wheel. Equal files give equal bytes.

    Args:
        package: the folder of the package. Default: that of the running EdgeRec.

    Raises:
        InputError: EdgeRec runs from a folder that was not installed with pip, so its metadata is missing.
    """
    package = package or Path(edgerec.__file__).parent
    information = f"edgerec-{edgerec.__version__}.dist-info"
    files = {
        f"edgerec/{path.relative_to(package).as_posix()}": path.read_bytes()
        for path in sorted(package.rglob("*"))
        if path.is_file() and _belongs(path.relative_to(package))
    }
    files |= {f"{information}/{name}": text.encode() for name, text in _metadata().items()}
    record = f"{information}/RECORD"
    files[record] = _record(files, record)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, _TIME)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, data)
    return content.getvalue()


def _belongs(path: Path) -> bool:
    """Return whether a file is part of the package: not compiled, not hidden, and not a backup of an editor."""
    return "__pycache__" not in path.parts and not path.name.startswith(".") and not path.name.endswith(("~", ".pyc"))


def _metadata() -> dict[str, str]:
    """Return the metadata of the installed EdgeRec. A folder `edgerec.egg-info` in a clone is not an installation."""
    for installed in metadata.distributions(name="edgerec"):
        texts = {name: installed.read_text(name) for name in ("METADATA", "entry_points.txt")}
        if installed.version == edgerec.__version__ and all(texts.values()):
            return {name: text for name, text in texts.items() if text} | {"WHEEL": _WHEEL}
    raise InputError(
        f"kit: EdgeRec {edgerec.__version__} should be installed with pip, because the kit contains it as a wheel, but "
        "its installation was not found: run pip install in EdgeRec's folder"
    )


def _record(files: dict[str, bytes], record: str) -> bytes:
    """Return the list of all files in the wheel with their hashes and sizes, as pip expects it."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    for name, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        writer.writerow([name, f"sha256={digest}", len(content)])
    writer.writerow([record, "", ""])
    return lines.getvalue().encode()
