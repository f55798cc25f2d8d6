"""ONNX to MNN, in a process of its own."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from edgerec.core.errors import ConversionError

CHILD = Path(__file__).with_name("_convert_child.py")
TIMEOUT_SECONDS = 300.0
_UUID = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def convert_to_mnn(onnx_path: Path, mnn_path: Path) -> None:
    """Convert an ONNX model to MNN; the same ONNX bytes give the same MNN bytes.

    The file is written aside and renamed to `mnn_path`, replacing what is there. The converter's own word for success
    means nothing (it answers true for a missing input): only a new file counts, and what it computes is for the parity
    check to say.

    Args:
        onnx_path: the model to read.
        mnn_path: the file to write.

    Raises:
        ConversionError: the input cannot be read, the converter fails, or it leaves no model behind.
    """
    if not onnx_path.is_file():
        raise ConversionError(f"cannot convert {onnx_path}: there is no such file")
    try:
        folder = tempfile.mkdtemp(prefix=".convert-", dir=mnn_path.parent)
    except OSError as error:
        raise ConversionError(f"cannot write {mnn_path}: {error.strerror}") from error
    partial = Path(folder, "model.mnn")
    try:
        _run(onnx_path, partial)
        partial.write_bytes(_with_steady_id(partial.read_bytes()))
        partial.replace(mnn_path)
    except OSError as error:
        raise ConversionError(f"cannot write {mnn_path}: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()
        with contextlib.suppress(OSError):
            os.rmdir(folder)


def _run(onnx_path: Path, target: Path) -> None:
    extension = importlib.util.find_spec("_tools")
    if extension is None or extension.origin is None:
        raise ConversionError("cannot convert: MNN's converter is not installed: pip install 'edgerec[export]'")
    # Isolated from the user's environment, but for the folder that has the converter.
    command = [sys.executable, "-I", str(CHILD), str(Path(extension.origin).parent)]
    command += [str(onnx_path.resolve()), str(target.resolve())]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ConversionError(f"cannot convert {onnx_path}: no result after {TIMEOUT_SECONDS:.0f} s") from error
    if done.returncode != 0 or not target.is_file() or target.stat().st_size == 0:
        lines = [line.strip() for line in done.stdout.decode(errors="replace").splitlines() if line.strip()]
        said = lines[-1] if lines else "nothing"
        raise ConversionError(
            f"cannot convert {onnx_path} to MNN: the converter ended with {done.returncode} and said: {said}"
        )


def _with_steady_id(model: bytes) -> bytes:
    """Replace the random id that the converter writes into each model with one made from the model itself."""
    found = _UUID.findall(model)
    if len(found) != 1:
        raise ConversionError(
            f"an MNN model should hold one id. Received: {len(found)}; "
            "this version of MNN writes another format: pin MNN as constraints.txt has it"
        )
    digest = hashlib.sha256(model.replace(found[0], b"0" * 36)).hexdigest()
    steady = "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32]))
    return model.replace(found[0], steady.encode())
