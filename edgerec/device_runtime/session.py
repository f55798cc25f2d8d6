"""A loaded MNN model: MNN's Session API with the checks that it lacks.

MNN crashes the process if an input is missing, and misreads an input of the wrong type or shape. So every input is
checked before it reaches MNN. MNN also uses the memory of inputs as working memory. So a run overwrites the inputs, and
all of them must be written again before the next run.

A session runs only in the process that loaded it, not in a process that was forked later (`forks.py`).
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
PRECISION_HIGH = 1  # BackendConfig::Precision_High: MNN computes in float32, even if the processor has float16
_SMALLEST_MODEL = 64
_PLAIN = frozenset((np.ndarray, np.memmap))


class Session:
    """A loaded model with fixed input and output shapes.

    Args:
        model: the path of an MNN file, or the content of that file.
        threads: number of threads that a run uses.

    Attributes:
        inputs: name and shape of each input.
        outputs: name and shape of each output.

    Raises:
        SessionError: the model cannot be loaded.
    """

    def __init__(self, model: Path | bytes, *, threads: int = 1) -> None:
        if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
            raise SessionError(f"`threads` should be a whole number of at least 1. Received: {threads!r}")
        if not isinstance(model, (bytes, str, os.PathLike)):
            raise SessionError(f"`model` should be the path of a file, or its bytes. Received: {type(model).__name__}")
        label = f"model of {len(model)} bytes" if isinstance(model, bytes) else str(model)[:1000]
        self._forks = forks.forks
        self._interpreter, self._native = _load(model, label, threads)
        self._run = partial(self._interpreter.runSession, self._native)
        # The tensors own the memory of the views below, so the session keeps them.
        self._tensors = _tensors(self._interpreter, self._native, label)
        shapes = [{name: _shape(tensor) for name, tensor in side.items()} for side in self._tensors]
        self.inputs: Mapping[str, Shape] = MappingProxyType(shapes[0])
        self.outputs: Mapping[str, Shape] = MappingProxyType(shapes[1])
        self._views = {
            name: _view(tensor, f"{label}: `{name}`") for side in self._tensors for name, tensor in side.items()
        }

    def view(self, name: str) -> Array:
        """Return MNN's own memory of an input (to write) or of an output (to read) as an array.

        The view is valid as long as this session exists. A run changes all views, including those of inputs.

        Raises:
            SessionError: the model has no such input or output.
        """
        try:
            return self._views[name]
        except (KeyError, TypeError):  # a name that cannot be hashed raises a TypeError
            raise SessionError(f"the model has no `{name}`: its inputs and outputs are {sorted(self._views)}") from None

    def execute(self) -> None:
        """Run once. Before each run, all inputs must be written into their views.

        Raises:
            SessionError: MNN reports a failure, or this process was forked after the model was loaded.
        """
        if self._forks != forks.forks:
            raise forks.forked()
        code = self._run()
        if code != 0:
            raise SessionError(f"MNN ended a run with error code {code}")

    def check_process(self) -> None:
        """Check that this process is the one that loaded the model. Call it before you take a lock.

        Raises:
            SessionError: this process was forked after the model was loaded.
        """
        if self._forks != forks.forks:
            raise forks.forked()

    def run(self, **arrays: Array) -> dict[str, Array]:
        """Run once with one float32 array for each input, and return copies of all outputs by name.

        Raises:
            SessionError: an input is missing or unknown, or has the wrong shape or type.
        """
        self._write(arrays)
        self.execute()
        return {name: self._views[name].copy() for name in self.outputs}

    def observe(self, **arrays: Array) -> dict[str, Array]:
        """Run once as `run` does, and return the first output of every operation that MNN executes, by name.

        Some operations are missing: MNN fused them into others, or computed them when it created the session. The
        outputs of the model are included under their own names. All arrays are copies.

        Raises:
            SessionError: the same errors as in `run`.
        """
        self._write(arrays)
        tensors_by_name: dict[str, Array] = {}

        def after(tensors: list[Any], command: Any) -> bool:
            if tensors:
                tensors_by_name[str(command.getName())] = _copy(tensors[0])
            return True

        self._watch(lambda *_: True, after)
        return {**tensors_by_name, **{name: self._views[name].copy() for name in self.outputs}}

    def commands(self) -> list[tuple[str, str]]:
        """Run once with all inputs set to 1, and return the type and the operation of each command, in order.

        An operation can need several commands: for example, `Raster` first copies its operands into one block. It has
        no command if MNN computed it when it created the session. As in `execute`, the run overwrites the inputs.

        Raises:
            SessionError: MNN reports a failure, or this process was forked after the model was loaded.
        """
        for name in self.inputs:
            self._views[name][...] = 1.0
        commands: list[tuple[str, str]] = []

        def before(_: object, command: Any) -> bool:
            commands.append((str(command.getType()), str(command.getName())))
            return True

        self._watch(before, lambda *_: True)
        return commands

    def _watch(self, before: Callable[..., bool], after: Callable[..., bool]) -> None:
        """Run once. Call `before` and `after` around every command, with its tensors and its description."""
        self.check_process()
        try:
            code = self._interpreter.runSessionWithCallBackInfo(self._native, before, after)
        except SystemError as error:  # native code turns an exception of a callback into a SystemError
            raise SessionError(f"a run could not be observed: {first_line(error.__cause__ or error)}") from error
        if code != 0:
            raise SessionError(f"MNN ended a run with error code {code}")

    def _write(self, arrays: Mapping[str, Array]) -> None:
        if arrays.keys() != self.inputs.keys():
            raise SessionError(f"the inputs should be {sorted(self.inputs)}. Received: {sorted(arrays)}")
        for name, array in arrays.items():
            check_array(name, array, self.inputs[name])
        for name, array in arrays.items():
            self._views[name][...] = array


def check_array(name: str, array: object, shape: Shape) -> None:
    """Check that `array` is a plain float32 array of shape `shape`.

    Raises:
        SessionError: `array` is not such an array.
    """
    # `is` comes first: NumPy has one float32 object, and `==` on two dtypes takes longer than all other checks.
    if type(array) in _PLAIN and (array.dtype is _FLOAT32 or array.dtype == _FLOAT32) and array.shape == shape:  # type: ignore[attr-defined]
        return
    raise SessionError(f"`{name}` should be a float32 array of shape {shape}. Received: {received(array)}")


def check_rows(name: str, array: object, width: int) -> None:
    """Check that `array` is a plain float32 array of shape `(any, width)`.

    Raises:
        SessionError: `array` is not such an array.
    """
    if is_plain(array) and array.dtype == _FLOAT32 and array.ndim == 2 and array.shape[1] == width:
        return
    raise SessionError(f"`{name}` should be a float32 array of shape (any, {width}). Received: {received(array)}")


def is_plain(value: object) -> TypeGuard[npt.NDArray[Any]]:
    """Return whether `value` is a plain NumPy array or a memory map.

    Other subclasses, such as masked arrays, give their numbers a meaning that MNN does not know.
    """
    return type(value) in _PLAIN


def received(value: object) -> str:
    """Return a description of a value for an error message: type and shape, or only the type."""
    if is_plain(value):
        return f"{value.dtype} of shape {value.shape}"
    kind = type(value).__name__
    return f"{kind}, which is not a plain NumPy array" if isinstance(value, np.ndarray) else kind


def _load(model: Path | bytes, label: str, threads: int) -> tuple[Any, Any]:
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
    # `TemporaryDirectory` is not used: a forked child that ends would remove the folder of its parent.
    folder = None
    try:
        folder = tempfile.mkdtemp(prefix="edgerec-")
        path = Path(folder, "model.mnn")
        path.write_bytes(model)
        return _create(path, label, threads)
    except OSError as error:
        raise SessionError(
            f"cannot write {label} into {folder or 'a temporary folder'}, from which MNN reads it ({error.strerror}): "
            "free some space in this folder, or set TMPDIR to a folder with free space"
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


def _tensors(interpreter: Any, native: Any, label: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the inputs and the outputs of a session by name."""
    try:
        return dict(interpreter.getSessionInputAll(native)), dict(interpreter.getSessionOutputAll(native))
    except Exception as error:  # for example, MNN raises a SystemError if a name is not text
        raise SessionError(f"MNN cannot list the inputs and outputs of {label}: it is damaged ({error})") from error


def _shape(tensor: Any) -> Shape:
    return tuple(int(size) for size in tensor.getShape())


def _view(tensor: Any, label: str) -> Array:
    try:
        view = tensor.getNumpyData()
    except Exception as error:
        raise SessionError(
            f"{label} has no memory that can be read or written: the model is damaged ({error})"
        ) from error
    if not isinstance(view, np.ndarray) or view.dtype != _FLOAT32 or not view.flags.c_contiguous:
        raise SessionError(
            f"{label} should be a contiguous float32 array. Received: {getattr(view, 'dtype', type(view))}"
        )
    return view


def _copy(tensor: Any) -> Array:
    """Return the numbers of `tensor` as an array in row-major order, whatever layout MNN uses for it."""
    mnn, shape = import_mnn(), _shape(tensor)
    host = mnn.Tensor(shape, mnn.Halide_Type_Float, np.zeros(shape, np.float32), mnn.Tensor_DimensionType_Caffe)
    if not tensor.copyToHostTensor(host):
        raise SessionError(f"MNN cannot copy the numbers of a tensor of shape {shape}")
    return np.array(host.getNumpyData(), np.float32).reshape(shape)


@cache
def import_mnn() -> Any:
    """Import MNN. The first import prints one line on standard output.

    Raises:
        SessionError: MNN is not installed.
    """
    try:
        return importlib.import_module("MNN")
    except ImportError as error:
        raise SessionError("MNN is not installed: pip install 'edgerec[device]'") from error
