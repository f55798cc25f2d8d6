"""MNN's interpreter: a model file is checked, then MNN loads it and creates a session."""

from __future__ import annotations

import importlib
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from edgerec.core.errors import SessionError, not_installed
from edgerec.core.leftovers import clear_leftovers, temporary_folder
from edgerec.device_runtime import forks

MAX_MODEL_BYTES = 64 * 1024 * 1024
"""Largest model file, in bytes. A larger file is refused before it is read. A device model has less than 1 MB."""
PRECISION_HIGH = 1
"""BackendConfig::Precision_High: MNN computes in float32, even if the processor has float16."""
_SMALLEST_MODEL = 64


def load_interpreter(model: Path | bytes, label: str, *, threads: int) -> tuple[Any, Any]:
    """Load a model into an MNN interpreter, and create a session of it.

    Args:
        model: an MNN file, or its bytes.
        label: the name of the model in errors.
        threads: number of threads of a run.

    Returns:
        The interpreter and the session, which are objects of MNN.

    Raises:
        SessionError: the model cannot be read, or MNN cannot load it.
    """
    if isinstance(model, bytes):
        _check_bytes(model, label)
        return _create_from_bytes(model, label, threads)
    try:
        with Path(model).open("rb") as file:
            content = file.read(MAX_MODEL_BYTES + 1)
    except (OSError, ValueError) as error:  # a path with a null character raises a ValueError
        raise SessionError(f"cannot read MNN model {label}: {getattr(error, 'strerror', error)}") from error
    _check_bytes(content, label)
    return _create(Path(model), label, threads)


def _create_from_bytes(model: bytes, label: str, threads: int) -> tuple[Any, Any]:
    """Write the bytes to a temporary file and create the session from it, because MNN's Python API reads only files."""
    # `TemporaryDirectory` is not used: a forked child that ends would remove the folder of its parent, and the folder
    # of a killed process would stay for ever.
    folder = None
    try:
        target = Path(tempfile.gettempdir(), "edgerec-model")
        _clear_once(target)
        with temporary_folder(target, "partial", clear=False) as folder:
            path = folder / "model.mnn"
            path.write_bytes(model)
            return _create(path, label, threads)
    except OSError as error:
        raise SessionError(
            f"cannot write {label} into {folder or 'a temporary folder'}, from which MNN reads it ({error.strerror}): "
            "free some space in this folder, or set TMPDIR to a folder with free space"
        ) from None


@cache
def _clear_once(target: Path) -> None:
    """Remove the copies of models that killed processes left, once in a process: this lists the temporary folder."""
    clear_leftovers(target)


def _create(path: Path, label: str, threads: int) -> tuple[Any, Any]:
    mnn = import_mnn()
    configuration = {"backend": "CPU", "numThread": threads, "precision": PRECISION_HIGH}
    try:
        interpreter = mnn.Interpreter(str(path))
        forks.claim_threads(threads)
        return interpreter, interpreter.createSession(configuration)
    except SessionError:
        raise
    except Exception as error:  # MNN raises the class Exception itself
        raise SessionError(f"MNN cannot load {label}: it is damaged, or it is not an MNN model ({error})") from error


def _check_bytes(content: bytes, label: str) -> None:
    """Check the size and the start of a flatbuffer. MNN verifies the rest when it loads the model.

    Raises:
        SessionError: the model is too large, or its bytes are not a flatbuffer.
    """
    size = len(content)
    if size > MAX_MODEL_BYTES:
        raise SessionError(f"{label} should have at most {MAX_MODEL_BYTES} bytes. Received: a larger file")
    root = int.from_bytes(content[:4], "little")
    if size >= _SMALLEST_MODEL and 4 <= root <= size - 4:
        table = root - int.from_bytes(content[root : root + 4], "little", signed=True)
        if 4 <= table <= size - 4:
            return
    raise SessionError(f"{label} is not an MNN model: its {size} bytes are not a flatbuffer. Export the bundle again")


@cache
def import_mnn() -> Any:
    """Import MNN. The first import prints one line on standard output.

    Raises:
        SessionError: MNN is not installed.
    """
    try:
        return importlib.import_module("MNN")
    except ImportError as error:
        raise SessionError(not_installed("MNN", "device")) from error
