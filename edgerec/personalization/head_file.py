"""Reading a head from the file that `edgerec meta-train` wrote."""

from __future__ import annotations

from edgerec.core.errors import FormatError
from edgerec.core.paths import AnyPath, to_path
from edgerec.personalization.head import MAX_BYTES, PersonalHead


def load_personal_head(path: AnyPath) -> PersonalHead:
    """Read the head of personal patches from `path`.

    Raises:
        FormatError: there is no such file, or it cannot be read, is damaged or too large.
    """
    path = to_path(path, "load_personal_head: `path`")
    if not path.is_file():
        raise FormatError(f"personal head: {path} should be a file that `edgerec meta-train` wrote; there is none")
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise FormatError(f"personal head: {path} cannot be read ({error.strerror})") from None
    try:
        return PersonalHead.from_bytes(content)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from None
