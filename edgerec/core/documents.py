"""Read and check documents: JSON files that describe EdgeRec's folders, and TOML configurations of users."""

from __future__ import annotations

import errno
import json
import sys
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from edgerec.core.errors import ConfigurationError, FormatError
from edgerec.core.faults import first_fault
from edgerec.core.text import printable

Document = TypeVar("Document", bound=BaseModel)

MAX_BYTES = 64 * 1024 * 1024
"""Maximum size of a document in bytes. Most documents take kilobytes; a feature specification may take megabytes."""

MAX_LEVELS = 64
"""Maximum nesting of lists and objects. EdgeRec's documents have about ten levels. Python cannot compare or
write values that have very many levels."""
_BLOCK = 1 << 20
_TOO_DEEP = f"more than {MAX_LEVELS} levels of lists and objects"


def read_document(
    path: Path, model: type[Document], *, what: str, format_number: int, advice: str = "make it again"
) -> Document:
    """Read and check the JSON document `path`.

    Args:
        path: the file.
        model: the pydantic model of the document. The field `format` is checked first.
        what: name of the folder in error texts, for example ``"samples"``.
        format_number: the only format number that this version reads.
        advice: what to do if a field is invalid.

    Raises:
        FormatError: the file is missing or not JSON, the format number is wrong, or a field is invalid.
    """
    return parse_document(
        document_bytes(path, what=what), path=path, model=model, what=what, format_number=format_number, advice=advice
    )


def document_bytes(path: Path, *, what: str) -> bytes:
    """Read the bytes of the document `path`.

    Raises:
        FormatError: the file is missing, cannot be read, or has more than `MAX_BYTES`.
    """
    try:
        if path.exists() and not path.is_file():  # reading a pipe or a device might never end
            raise FormatError(f"{what}: {path} cannot be read (not a regular file): check it, or make it again")
        return bounded_bytes(path)
    except FileNotFoundError:
        missing = f"has no {path.name}{_other_kind(path.parent)}" if path.parent.is_dir() else "is not a folder"
        raise FormatError(
            f"{what}: {path.parent} {missing}: give a folder with {path.name} that EdgeRec wrote"
        ) from None
    except NotADirectoryError:
        raise FormatError(f"{what}: {path.parent} is a file: give a folder that EdgeRec wrote") from None
    except OSError as error:
        raise FormatError(f"{what}: {path} cannot be read ({error.strerror}): check it, or make it again") from None


def _other_kind(folder: Path) -> str:
    """Return what the folder is, by the field `kind` of a JSON file in it, or an empty text."""
    kinds = ((read_object(file) or {}).get("kind") for file in sorted(folder.glob("*.json")))
    kind = next((kind for kind in kinds if isinstance(kind, str)), None)
    return f"; it is a folder of the kind {printable(kind)[:40]!r}" if kind else ""


def read_object(path: Path) -> dict[str, Any] | None:
    """Return the JSON object in the file `path`, or None if the file does not exist or contains no JSON object."""
    try:
        found = json.loads(bounded_bytes(path)) if path.is_file() else None
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def bounded_bytes(path: Path) -> bytes:
    """Read the bytes of the file `path`.

    Raises:
        OSError: the file cannot be read, or has more than `MAX_BYTES`.
    """
    pieces, length = [], 0
    with path.open("rb") as file:
        # `read(n)` allocates n bytes, however small the file is.
        while piece := file.read(_BLOCK):
            pieces.append(piece)
            length += len(piece)
            if length > MAX_BYTES:
                raise OSError(errno.EFBIG, f"a document should have at most {MAX_BYTES} bytes; it has more", str(path))
    return b"".join(pieces)


def parse_document(
    content: bytes | str,
    *,
    path: Path | str,
    model: type[Document],
    what: str,
    format_number: int,
    advice: str = "make it again",
) -> Document:
    """Parse and check the JSON document `content`. `path` is its name in error texts, `advice` what to do about them.

    Raises:
        FormatError: as for `read_document`.
    """
    try:
        raw = parse_json(content)
    except ValueError as error:
        raise FormatError(f"{what}: {path} is not valid JSON ({error}): check it, or make it again") from None
    if not isinstance(raw, dict) or "format" not in raw:
        what_it_is = "has no `format`" if isinstance(raw, dict) else "is not a JSON object with `format`"
        raise FormatError(f"{what}: {path} {what_it_is}, so EdgeRec did not write it: check the path, or {advice}")
    received = raw["format"]
    if received != format_number or isinstance(received, bool):
        raise FormatError(
            f"{what}: {path} has format {received!r}, but this version of EdgeRec reads format {format_number}: "
            "make it again with this version"
        )
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise FormatError(f"{what}: {path}: {first_fault(error).removesuffix(': add it')}: {advice}") from None


def parse_json(content: bytes | str) -> Any:
    """Parse JSON. Refuse an object with duplicate names, and content with more than `MAX_LEVELS` levels.

    JSON parsers of other languages may read such content differently.

    Raises:
        ValueError: the content is not JSON, has duplicate names, or has too many levels.
    """
    try:
        document = json.loads(content, object_pairs_hook=_object)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    level = [document]
    for _ in range(MAX_LEVELS + 1):
        inner = (part.values() if isinstance(part, dict) else part for part in level if isinstance(part, dict | list))
        level = [part for parts in inner for part in parts]
        if not level:
            return document
    raise ValueError(_TOO_DEEP)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        names = [name for name, _ in pairs]
        duplicate = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"an object has the name {duplicate!r:.80} twice")
    return document


def read_toml(path: Path) -> dict[str, Any]:
    """Read the TOML configuration `path`.

    Raises:
        ConfigurationError: the file cannot be read, or is not valid TOML.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:  # Devices do not have this package, and read no TOML.
        import tomli as tomllib
    try:
        settings: dict[str, Any] = tomllib.loads(bounded_bytes(path).decode())
        return settings
    except OSError as error:
        raise ConfigurationError(f"configuration {path} cannot be read ({error.strerror}): check the path") from None
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"configuration {path} is not valid TOML: {error}") from None
