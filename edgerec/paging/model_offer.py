"""Which model version a device should run, and its files (docs/formats.md, "Model offers between cloud and device").

Nothing of an offer is trusted before it is checked: neither the names nor the sizes.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from edgerec.core.errors import AnswerError
from edgerec.core.text import printable

SCHEMA = 1
MAX_FILES = 64
_VERSION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")
_PATH = re.compile(r"device(/[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}){1,4}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class OfferedFile:
    """A file of the offered version, as the device sees it. The cloud has `edgerec.cloud.messages.OfferedFile`.

    Attributes:
        path: its path within the bundle, such as `device/manifest.json`.
        size: its size in bytes.
        sha256: its SHA-256, hexadecimal.
    """

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class ModelOffer:
    """The version that a user should run, as the device sees it. The cloud has `edgerec.cloud.messages.ModelOffer`.

    Attributes:
        version_id: the version; None if the cloud offers none to this user.
        files: the files of the device half. Empty if the device has this version, or if there is none.
    """

    version_id: str | None
    files: tuple[OfferedFile, ...] = ()

    @property
    def size(self) -> int:
        """The number of bytes of all files."""
        return sum(file.size for file in self.files)


def is_version(version_id: object) -> bool:
    """Return whether a version can be offered: its name can be that of a folder."""
    return _is(version_id, _VERSION)


def parse_offer(answer: bytes) -> ModelOffer:
    """Return the offer in an answer of `/v1/model`.

    Raises:
        AnswerError: a field is missing or wrong, a path leads out of the device half, or there are too many files.
    """
    try:
        document = json.loads(answer)
    except (ValueError, RecursionError):
        raise _wrong("a JSON object", answer[:60].decode(errors="replace")) from None
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise _wrong(f"an object with `schema` {SCHEMA}", document)
    version_id, files = document.get("version_id"), document.get("files")
    if version_id is not None and not _is(version_id, _VERSION):
        raise _wrong("a `version_id` of 1 to 200 letters, digits, `_`, `.` and `-`, or null", version_id)
    if not isinstance(files, list) or len(files) > MAX_FILES:
        raise _wrong(f"`files`, a list of at most {MAX_FILES}", files)
    found = tuple(map(_file, files))
    if len({file.path for file in found}) != len(found):
        raise _wrong("each path once", [file.path for file in found])
    return ModelOffer(version_id, found if version_id is not None else ())


def _file(entry: Any) -> OfferedFile:
    fields = entry if isinstance(entry, dict) else {}
    path, size, digest = fields.get("path"), fields.get("bytes"), fields.get("sha256")
    if (
        not isinstance(size, int)
        or isinstance(size, bool)
        or size < 0
        or not (_is(path, _PATH) and _is(digest, _SHA256))
    ):
        raise _wrong("files with a `path` in `device/`, `bytes` and `sha256`", entry)
    return OfferedFile(str(path), size, str(digest))


def _is(value: Any, pattern: re.Pattern[str]) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _wrong(expected: str, received: Any) -> AnswerError:
    return AnswerError(f"cloud: /v1/model should answer with {expected}; received {printable(repr(received))[:80]}")
