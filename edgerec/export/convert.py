"""ONNX to MNN, in a process of its own."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgerec.bundle.manifest import Precision
from edgerec.core.errors import ConversionError
from edgerec.core.leftovers import temporary_folder

CHILD = Path(__file__).with_name("_convert_child.py")
TIMEOUT_SECONDS = 300.0
NATIVE = "--useOriginRNNImpl"
"""A GRU node becomes one native command, not a loop that only MNN's Module API can run."""
PASSES: Mapping[Precision, Sequence[Sequence[str]]] = {
    "fp32": [()],
    "fp16": [("--fp16",)],
    # Two passes: where both flags are given at once, MNN's converter halves all weights and quantises none. The first
    # has no word for those of native GRU commands and of constants, so the second halves what the first left alone.
    "int8": [("--weightQuantBits", "8"), ("--fp16",)],
}
"""Flags of the converter by precision, a pass each. Whatever a file's precision, MNN computes in float32."""
_UUID = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def convert_to_mnn(onnx_path: Path, mnn_path: Path, *, precision: Precision = "fp32", native: bool = True) -> None:
    """Convert an ONNX model to MNN; the same ONNX bytes give the same MNN bytes.

    The file is written aside and renamed to `mnn_path`, replacing what is there. The converter's own word for success
    means nothing (it answers true for a missing input): only a new file counts, and what it computes is for the parity
    check to say.

    Args:
        onnx_path: the model to read.
        mnn_path: the file to write.
        precision: of the weights in it. `fp32` keeps them; `fp16` rounds all to half precision; `int8` rounds those of
            matrix products with constants to 8 bits with a scale for each output, and the others, which are those of
            recurrent layers above all, to half precision.
        native: make one command of each recurrent layer; else what the converter does unasked.

    Raises:
        ConversionError: the input cannot be read, the converter fails, or it leaves no model behind.
    """
    if not onnx_path.is_file():
        raise ConversionError(f"cannot convert {onnx_path}: there is no such file")
    try:
        with temporary_folder(mnn_path, "partial") as folder:
            partial = folder / "model.mnn"
            for flags in PASSES[precision]:
                _run(onnx_path, partial, [NATIVE, *flags] if native else flags)
            partial.write_bytes(_with_steady_id(partial.read_bytes()))
            partial.replace(mnn_path)
    except OSError as error:
        raise ConversionError(f"cannot write {mnn_path}: {error.strerror}") from error


def _run(onnx_path: Path, target: Path, flags: Sequence[str]) -> None:
    """One pass: from `onnx_path`, or from `target` where an earlier pass has left it."""
    extension = importlib.util.find_spec("_tools")
    if extension is None or extension.origin is None:
        raise ConversionError("cannot convert: MNN's converter is not installed: pip install 'edgerec[export]'")
    # Isolated from the user's environment, but for the folder that has the converter.
    command = [sys.executable, "-I", str(CHILD), str(os.getpid()), str(Path(extension.origin).parent)]
    source, kind = onnx_path, "ONNX"
    if target.is_file():
        source, kind = target.replace(target.with_name("before.mnn")), "MNN"
    command += [str(source.resolve()), str(target.resolve()), kind, *flags]
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
