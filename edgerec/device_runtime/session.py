"""One MNN model, ready to run: MNN's Session API behind checks that it lacks.

MNN crashes the process on a missing input and misreads a wrong one, so nothing reaches it unchecked. Its input memory
is its own working memory: a run overwrites inputs, and every input must be written again before the next run.

A session runs in the process that loaded it, and not in a process that was forked later (`forks.py`).
"""

from __future__ import annotations

import importlib
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

from edgerec.core.errors import SessionError, first_line
from edgerec.device_runtime import forks

Array = npt.NDArray[np.float32]
Shape = tuple[int, ...]

MAX_MODEL_BYTES = 64 * 1024 * 1024
"""Largest model file, in bytes. A larger file is refused before it is read. A device model has less than 1 MB."""
_FLOAT32 = np.dtype(np.float32)
PRECISION_HIGH = 1  # BackendConfig::Precision_High: float32 throughout, also where the processor has float16
_SMALLEST_MODEL = 64
_PLAIN = frozenset((np.ndarray, np.memmap))


class Session:
    """A loaded model of fixed input and output shapes.

    Args:
        model: an MNN file, or its bytes.
        threads: number of threads of a run.

    Attributes:
        inputs: name and shape of each input.
        outputs: name and shape of each output.

    Raises:
        SessionError: the model cannot be loaded.
    """

    def __init__(self, model: Path | bytes, *, threads: int = 1) -> None:
        if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
            raise SessionError(f"`threads` should be a whole number from 1. Received: {threads!r}")
        if not isinstance(model, (bytes, str, os.PathLike)):
            raise SessionError(f"`model` should be the path of a file, or its bytes. Received: {type(model).__name__}")
        label = f"model of {len(model)} bytes" if isinstance(model, bytes) else str(model)[:1000]
        self._forks = forks.forks
        self._interpreter, self._native = _load(model, label, threads)
        self._run = partial(self._interpreter.runSession, self._native)
        # The tensors own the memory that the views below look at: they live as long as the session does.
        self._tensors = _tensors(self._interpreter, self._native, label)
        found = [{name: _shape(tensor) for name, tensor in side.items()} for side in self._tensors]
        self.inputs: Mapping[str, Shape] = MappingProxyType(found[0])
        self.outputs: Mapping[str, Shape] = MappingProxyType(found[1])
        self._views = {
            name: _view(tensor, f"{label}: `{name}`") for side in self._tensors for name, tensor in side.items()
        }

    def view(self, name: str) -> Array:
        """Give MNN's own memory of an input (to write) or output (to read) as an array.

        The view is good for as long as this session lives; a run changes all of them, inputs included.

        Raises:
            SessionError: the model has no such input or output.
        """
        try:
            return self._views[name]
        except (KeyError, TypeError):  # TypeError: a name that cannot be hashed
            raise SessionError(f"the model has no `{name}`, but {sorted(self._views)}") from None

    def execute(self) -> None:
        """Run once on what has been written into the input views since the last run.

        Raises:
            SessionError: MNN reports a failure, or this process was forked after the model was loaded.
        """
        if self._forks != forks.forks:
            raise forks.forked()
        code = self._run()
        if code != 0:
            raise SessionError(f"MNN ended a run with error code {code}")

    def check_process(self) -> None:
        """Refuse a process that was forked after the model was loaded; to be called before taking a lock.

        Raises:
            SessionError: this process was forked so.
        """
        if self._forks != forks.forks:
            raise forks.forked()

    def run(self, **arrays: Array) -> dict[str, Array]:
        """Run once: one float32 array for each input; copies of all outputs.

        Raises:
            SessionError: an input is missing, unknown, or of another shape or type.
        """
        self._write(arrays)
        self.execute()
        return {name: self._views[name].copy() for name in self.outputs}

    def observe(self, **arrays: Array) -> dict[str, Array]:
        """Run once as `run` does, and copy what each operation left in its first output, by the output's name.

        What MNN fused into another operation, or was done with when the session was made, is not among them. Outputs
        of the model come under their own names.

        Raises:
            SessionError: as `run`.
        """
        self._write(arrays)
        found: dict[str, Array] = {}

        def after(tensors: list[Any], command: Any) -> bool:
            if tensors:
                found[str(command.getName())] = _copy(tensors[0])
            return True

        self._watch(lambda *_: True, after)
        return {**found, **{name: self._views[name].copy() for name in self.outputs}}

    def commands(self) -> list[tuple[str, str]]:
        """Run once on ones and name what MNN ran, in order: the kind of each command, and the operation it is of.

        An operation may take several commands (MNN moves what lies elsewhere into place by `Raster`), or none where it
        was done with when the session was made. As `execute`, it leaves nothing of the inputs.

        Raises:
            SessionError: MNN reports a failure.
        """
        for name in self.inputs:
            self._views[name][...] = 1.0
        found: list[tuple[str, str]] = []

        def before(_: object, command: Any) -> bool:
            found.append((str(command.getType()), str(command.getName())))
            return True

        self._watch(before, lambda *_: True)
        return found

    def _watch(self, before: Callable[..., bool], after: Callable[..., bool]) -> None:
        """Run once, calling `before` and `after` with the tensors and the description of every command."""
        self.check_process()
        try:
            code = self._interpreter.runSessionWithCallBackInfo(self._native, before, after)
        except SystemError as error:  # an exception of a callback comes back through native code
            raise SessionError(f"a run could not be watched: {first_line(error.__cause__ or error)}") from error
        if code != 0:
            raise SessionError(f"MNN ended a run with error code {code}")

    def _write(self, arrays: Mapping[str, Array]) -> None:
        if arrays.keys() != self.inputs.keys():
            raise SessionError(f"inputs should be {sorted(self.inputs)}. Received: {sorted(arrays)}")
        for name, array in arrays.items():
            check_array(name, array, self.inputs[name])
        for name, array in arrays.items():
            self._views[name][...] = array


def check_array(name: str, array: object, shape: Shape) -> None:
    """Refuse anything but a float32 array of `shape`.

    Raises:
        SessionError: it is something else.
    """
    # Identity first: NumPy's own float32 is one object, and comparing two dtypes costs more than all the rest.
    if type(array) in _PLAIN and (array.dtype is _FLOAT32 or array.dtype == _FLOAT32) and array.shape == shape:  # type: ignore[attr-defined]
        return
    raise SessionError(f"`{name}` should be a float32 array of shape {shape}. Received: {received(array)}")


def check_rows(name: str, array: object, width: int) -> None:
    """Refuse anything but a float32 array `(any, width)`.

    Raises:
        SessionError: it is something else.
    """
    if is_plain(array) and array.dtype == _FLOAT32 and array.ndim == 2 and array.shape[1] == width:
        return
    raise SessionError(f"`{name}` should be a float32 array of shape (any, {width}). Received: {received(array)}")


def is_plain(value: object) -> TypeGuard[npt.NDArray[Any]]:
    """Whether it is a plain NumPy array.

    Other subclasses give their numbers a meaning that MNN does not know: masked arrays, for example.
    """
    return type(value) in _PLAIN


def received(value: object) -> str:
    """What a check was given, in the words of its error."""
    if is_plain(value):
        return f"{value.dtype} of shape {value.shape}"
    kind = type(value).__name__
    return f"{kind}, which is no plain NumPy array" if isinstance(value, np.ndarray) else kind


def _load(model: Path | bytes, label: str, threads: int) -> tuple[Any, Any]:
    if isinstance(model, bytes):
        _check_bytes(model, label)
        return _create_from_bytes(model, label, threads)
    try:
        with Path(model).open("rb") as file:
            content = file.read(MAX_MODEL_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        raise SessionError(f"cannot read MNN model {label}: {getattr(error, 'strerror', error)}") from error
    _check_bytes(content, label)
    return _create(Path(model), label, threads)


def _create_from_bytes(model: bytes, label: str, threads: int) -> tuple[Any, Any]:
    """MNN's Python loads files only, so the bytes are written to a temporary one."""
    # No `TemporaryDirectory`: a forked child that ends would remove the folder of its parent.
    folder = None
    try:
        folder = tempfile.mkdtemp(prefix="edgerec-")
        path = Path(folder, "model.mnn")
        path.write_bytes(model)
        return _create(path, label, threads)
    except OSError as error:
        raise SessionError(
            f"cannot write {label} into {folder or 'a temporary folder'} ({error.strerror}), from where MNN reads it: "
            "free some space there, or set TMPDIR to a folder that has some"
        ) from None
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _create(path: Path, label: str, threads: int) -> tuple[Any, Any]:
    mnn = import_mnn()
    configuration = {"backend": "CPU", "numThread": threads, "precision": PRECISION_HIGH}
    try:
        interpreter = mnn.Interpreter(str(path))
        forks.claim_threads(threads)
        return interpreter, interpreter.createSession(configuration)
    except SessionError:
        raise
    except Exception as error:  # MNN raises bare Exception
        raise SessionError(f"MNN cannot load {label}: it is damaged, or no MNN model ({error})") from error


def _check_bytes(content: bytes, label: str) -> None:
    """Look at the frame of the flatbuffer, which MNN verifies in full, before MNN does."""
    size = len(content)
    if size > MAX_MODEL_BYTES:
        raise SessionError(f"{label} has more than {MAX_MODEL_BYTES} bytes, which no device model has")
    root = int.from_bytes(content[:4], "little")
    if size >= _SMALLEST_MODEL and 4 <= root <= size - 4:
        table = root - int.from_bytes(content[root : root + 4], "little", signed=True)
        if 4 <= table <= size - 4:
            return
    raise SessionError(f"{label} is no MNN model: its {size} bytes are not a flatbuffer. Export the bundle again")


def _tensors(interpreter: Any, native: Any, label: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The inputs and the outputs of a session, by name."""
    try:
        return dict(interpreter.getSessionInputAll(native)), dict(interpreter.getSessionOutputAll(native))
    except Exception as error:  # names that are no text, for example, are a SystemError
        raise SessionError(f"MNN cannot name the inputs and outputs of {label}: it is damaged ({error})") from error


def _shape(tensor: Any) -> Shape:
    return tuple(int(size) for size in tensor.getShape())


def _view(tensor: Any, label: str) -> Array:
    try:
        view = tensor.getNumpyData()
    except Exception as error:
        raise SessionError(f"{label} has no memory to write to or read from ({error})") from error
    if not isinstance(view, np.ndarray) or view.dtype != _FLOAT32 or not view.flags.c_contiguous:
        raise SessionError(f"{label} should be float32 in rows. Received: {getattr(view, 'dtype', type(view))}")
    return view


def _copy(tensor: Any) -> Array:
    """What `tensor` holds, in rows, whatever the layout that MNN keeps it in."""
    mnn, shape = import_mnn(), _shape(tensor)
    host = mnn.Tensor(shape, mnn.Halide_Type_Float, np.zeros(shape, np.float32), mnn.Tensor_DimensionType_Caffe)
    if not tensor.copyToHostTensor(host):
        raise SessionError(f"MNN does not give what a tensor of shape {shape} holds")
    return np.array(host.getNumpyData(), np.float32).reshape(shape)


@cache
def import_mnn() -> Any:
    """Import MNN, which prints one line on standard output when it is imported for the first time."""
    try:
        return importlib.import_module("MNN")
    except ImportError as error:
        raise SessionError("MNN is not installed: pip install 'edgerec[device]'") from error
