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
        raw = json.loads(content)
    except (ValueError, RecursionError) as error:
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
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
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
