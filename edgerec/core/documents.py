"""Reading documents: the JSON at the head of EdgeRec's folders, and configurations that people write in TOML."""

from __future__ import annotations

import errno
import json
import sys
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from edgerec.core.errors import ConfigurationError, FormatError
from edgerec.core.text import printable

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Document = TypeVar("Document", bound=BaseModel)

MAX_BYTES = 64 * 1024 * 1024
"""A document larger than this is refused unread: a head is kilobytes, a feature specification at most megabytes."""

MAX_LEVELS = 64
"""Of lists and objects within one another; documents have some ten. What is deeper cannot be compared or written."""
_TOO_DEEP = f"more than {MAX_LEVELS} levels of lists and objects"


def read_document(path: Path, model: type[Document], *, what: str, format_number: int) -> Document:
    """Read and check the JSON document `path`.

    Args:
        path: the file.
        model: the pydantic model that it must satisfy; the document's `format` is checked first.
        what: what the folder is called in errors, for example ``"samples"``.
        format_number: the one format number that this version reads.

    Raises:
        FormatError: no such file, no JSON, another format number, or a field that is not valid.
    """
    return parse_document(
        document_bytes(path, what=what), path=path, model=model, what=what, format_number=format_number
    )


def document_bytes(path: Path, *, what: str) -> bytes:
    """The bytes of the document `path`, at most `MAX_BYTES` of them.

    Raises:
        FormatError: no such file, one that cannot be read, or a larger one.
    """
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for, a device read for ever
            raise FormatError(f"{what}: {path} cannot be read (no regular file): check it, or make it again")
        return bounded_bytes(path)
    except FileNotFoundError:
        missing = "is no folder" if not path.parent.is_dir() else f"has no {path.name}"
        raise FormatError(f"{what}: {path.parent} {missing}: give a folder that EdgeRec wrote") from None
    except NotADirectoryError:
        raise FormatError(f"{what}: {path.parent} is a file: give a folder that EdgeRec wrote") from None
    except OSError as error:
        raise FormatError(f"{what}: {path} cannot be read ({error.strerror}): check it, or make it again") from None


def read_object(path: Path) -> dict[str, Any] | None:
    """Return the JSON object in the file `path`, or None if there is no such file or it holds something else."""
    try:
        found = json.loads(bounded_bytes(path)) if path.is_file() else None
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def bounded_bytes(path: Path) -> bytes:
    """The bytes of the file `path`.

    Raises:
        OSError: it cannot be read, or has more than `MAX_BYTES`.
    """
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise OSError(errno.EFBIG, f"more than {MAX_BYTES} bytes, which no document of EdgeRec's has", str(path))
    return content


def parse_document(content: bytes, *, path: Path, model: type[Document], what: str, format_number: int) -> Document:
    """Parse and check a JSON document of which `content` was read; `path` names it in errors.

    Raises:
        FormatError: as `read_document`.
    """
    try:
        raw = parse_json(content)
    except ValueError as error:
        raise FormatError(f"{what}: {path} is not valid JSON ({error}): it is damaged, make it again") from None
    received = raw.get("format") if isinstance(raw, dict) else None
    if received != format_number or isinstance(received, bool):
        raise FormatError(
            f"{what}: {path} has format {received!r}, this version of EdgeRec reads format {format_number}: "
            "make it again with this version"
        )
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise FormatError(f"{what}: {path}: {first_fault(error)}") from None


def parse_json(content: bytes | str) -> Any:
    """Parse JSON that every reader takes in the same way: no name twice in an object, at most `MAX_LEVELS` of nesting.

    Raises:
        ValueError: other content.
    """
    try:
        found = json.loads(content, object_pairs_hook=_object)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    level = [found]
    for _ in range(MAX_LEVELS + 1):
        inner = (part.values() if isinstance(part, dict) else part for part in level if isinstance(part, dict | list))
        level = [part for parts in inner for part in parts]
        if not level:
            return found
    raise ValueError(_TOO_DEEP)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r:.80} stands twice in one object")
    return found


def read_toml(path: Path) -> dict[str, Any]:
    """The configuration file `path`.

    Raises:
        ConfigurationError: no such file, or no TOML.
    """
    try:
        settings: dict[str, Any] = tomllib.loads(bounded_bytes(path).decode())
        return settings
    except OSError as error:
        raise ConfigurationError(f"configuration {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"configuration {path} is not valid TOML: {error}") from None


def first_fault(error: ValidationError) -> str:
    """The first fault of a pydantic error in one line: where, what, received."""
    fault = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in fault["loc"]) or "document"
    text = f"{where}: {fault['msg']}"
    # A rule about several fields says in its text which; the whole of them would say nothing.
    if not isinstance(fault.get("input"), dict | list):
        received = repr(fault.get("input"))
        text += f" (received {received if len(received) <= 80 else received[:77] + '...'})"
    return printable(text)
