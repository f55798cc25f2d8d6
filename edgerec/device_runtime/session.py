"""A loaded MNN model: MNN's Session API with the checks that it lacks.

MNN crashes the process if an input is missing, and misreads an input of the wrong type or shape. So every input is
checked before it reaches MNN. MNN also uses the memory of inputs as working memory. So a run overwrites the inputs, and
all of them must be written again before the next run.

A session runs only in the process that loaded it, not in a process that was forked later (`forks.py`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from time import perf_counter_ns
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from edgerec.core.errors import SessionError, first_line
from edgerec.device_runtime import forks
from edgerec.device_runtime.arguments import Shape, check_array
from edgerec.device_runtime.interpreter import import_mnn, load_interpreter

Array = npt.NDArray[np.float32]


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
        self._interpreter, self._native = load_interpreter(model, label, threads=threads)
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

    def time_commands(self) -> list[tuple[str, int]]:
        """Run once with all inputs set to 1, and return the type and the duration in nanoseconds of each command.

        A duration includes the time that MNN needs to call back to Python, which is longer than many commands. As in
        `execute`, the run overwrites the inputs.

        Raises:
            SessionError: MNN reports a failure, or this process was forked after the model was loaded.
        """
        for name in self.inputs:
            self._views[name][...] = 1.0
        commands: list[tuple[str, int]] = []
        clock, started = perf_counter_ns, 0

        def before(_: object, __: object) -> bool:
            nonlocal started
            started = clock()
            return True

        def after(_: object, command: Any) -> bool:
            ended = clock()
            commands.append((str(command.getType()), ended - started))
            return True

        self._watch(before, after)
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
    if not isinstance(view, np.ndarray) or view.dtype != np.float32 or not view.flags.c_contiguous:
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
