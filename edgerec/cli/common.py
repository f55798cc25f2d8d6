"""What several commands do: say a result, and import TensorFlow late."""

from __future__ import annotations

from typing import Any


def emit(document: dict[str, Any], as_json: bool, *, table: Any = None) -> None:
    """`edgerec.core.console.emit`, imported when there is something to say."""
    from edgerec.core import console

    console.emit(document, as_json=as_json, table=table)


def import_tensorflow() -> None:
    """Import TensorFlow, which takes seconds, after what is cheap to check."""
    from edgerec.cli import quiet

    quiet.import_tensorflow()
