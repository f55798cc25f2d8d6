"""The conversion of ONNX models to MNN models. It runs in a separate process."""

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
from edgerec.core.errors import ConversionError, not_installed
from edgerec.core.leftovers import temporary_folder

CHILD = Path(__file__).with_name("_convert_child.py")
TIMEOUT_SECONDS = 300.0
NATIVE = "--useOriginRNNImpl"
"""With this flag, a GRU node becomes one native command, and not a loop that only MNN's Module API can run."""
PASSES: Mapping[Precision, Sequence[Sequence[str]]] = {
    "fp32": [()],
    "fp16": [("--fp16",)],
    # With both flags in one pass, MNN's converter stores all weights in half precision and quantises none. So the first
    # pass quantises. It cannot quantise the weights of native GRU commands and constants, so the second pass stores
    # these in half precision.
    "int8": [("--weightQuantBits", "8"), ("--fp16",)],
}
"""The converter's flags for each pass, by precision. MNN always computes in float32, whatever the file's precision."""
_UUID = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def convert_to_mnn(onnx_path: Path, mnn_path: Path, *, precision: Precision = "fp32", native: bool = True) -> None:
    """Convert an ONNX model to MNN. Equal ONNX bytes give equal MNN bytes.

    The file is written under a temporary name, and then renamed to `mnn_path`. It replaces an existing file. The
    converter's return value is not used, because it is true even if the input is missing. The conversion counts as
    successful if there is a new file. The parity check finds out whether the model is correct.

    Args:
        onnx_path: the model to read.
        mnn_path: the file to write.
        precision: the precision of weights in the file. `fp32` keeps them. `fp16` rounds all to half precision. `int8`
            rounds the weights of matrix products with constants to 8 bits, with one scale factor for each output. It
            rounds all other weights, most of them in recurrent layers, to half precision.
        native: convert each recurrent layer to one command. Otherwise the converter uses its default.

    Raises:
        ConversionError: the input cannot be read, the converter fails, or it writes no model.
    """
    if not onnx_path.is_file():
        raise ConversionError(f"cannot convert {onnx_path}: no such file")
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
    """Run one pass of the converter on `onnx_path`, or on `target` if an earlier pass has written it."""
    extension = importlib.util.find_spec("_tools")
    if extension is None or extension.origin is None:
        raise ConversionError("cannot convert: " + not_installed("MNN's converter", "export"))
    # `-I` isolates the process from the user's environment. The process gets only the folder of the converter.
    command = [sys.executable, "-I", str(CHILD), str(os.getpid()), str(Path(extension.origin).parent)]
    source, source_format = onnx_path, "ONNX"
    if target.is_file():
        source, source_format = target.replace(target.with_name("before.mnn")), "MNN"
    command += [str(source.resolve()), str(target.resolve()), source_format, *flags]
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
        last = lines[-1] if lines else "nothing"
        raise ConversionError(
            f"cannot convert {onnx_path} to MNN: the converter ended with code {done.returncode} and printed: {last}"
        )


def _with_steady_id(model: bytes) -> bytes:
    """Return `model` with an ID made from its content, in place of the random ID that the converter writes into it."""
    found = _UUID.findall(model)
    if len(found) != 1:
        raise ConversionError(
            f"an MNN model should have one ID. Received: {len(found)}; this version of MNN writes another format: "
            "install the version of MNN that is in constraints.txt"
        )
    digest = hashlib.sha256(model.replace(found[0], b"0" * 36)).hexdigest()
    steady = "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:32]))
    return model.replace(found[0], steady.encode())
