"""Running work on a bundle's models in a separate process, because damaged models can crash native code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from edgerec.core.errors import SessionError
from edgerec.core.parallel import run_in_child

Result = TypeVar("Result")


def guarded(work: Callable[[Path], Result], bundle: Path) -> Result:
    """Return ``work(bundle)``, computed in a separate process.

    A malicious model, or a damaged model whose hash was corrected to match, can crash MNN. The crash then ends only the
    separate process. Every command that loads models of a bundle uses this function. `work` and its result must be
    picklable: `work` is a function at the top level of a module, or a `functools.partial` of one. A script that calls
    this function needs ``if __name__ == "__main__"``.

    Raises:
        SessionError: the separate process crashed.
        Exception: `work` raised this exception.
    """
    return run_in_child(work, bundle, died=lambda: _crashed(bundle))


def _crashed(bundle: Path) -> SessionError:
    return SessionError(
        f"bundle: the process that ran the models of {bundle} crashed, because the models are damaged although their "
        "hashes are correct, or because memory ran out: do not use this bundle; export it again, and sign your bundles "
        "if others can change them"
    )
