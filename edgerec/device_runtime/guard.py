"""Work on a bundle's models in a process of its own, which native code may crash."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from edgerec.core.errors import SessionError
from edgerec.core.parallel import run_in_child

Result = TypeVar("Result")


def guarded(work: Callable[[Path], Result], bundle: Path) -> Result:
    """``work(bundle)`` in a process of its own: models made to harm, or stamped after damage, may crash their engine.

    Every command that loads models of a bundle does so through this function. `work` and what it returns must pickle: a
    function of a module, or a `functools.partial` of one. A script that calls this needs its
    ``if __name__ == "__main__"``.

    Raises:
        SessionError: that process died.
        Exception: what `work` raised.
    """
    return run_in_child(work, bundle, died=lambda: _crashed(bundle))


def _crashed(bundle: Path) -> SessionError:
    return SessionError(
        f"bundle: MNN, or a peer of it, crashed on the models of {bundle}, whose hashes are right, or memory ran out: "
        "do not use it; export it again, and have bundles signed if others can change them"
    )
