from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from edgerec.core.errors import ConversionError
from edgerec.device_runtime.session import Session
from edgerec.export import convert
from edgerec.export.convert import convert_to_mnn
from edgerec.graphs.builder import GraphBuilder
from edgerec.graphs.gru import add_gru_stack
from tests import oracle


@pytest.fixture
def source(tmp_path: Path) -> Path:
    graph = GraphBuilder()
    stack = oracle.random_stack(np.random.default_rng(0), 5, units=8, depth=2)
    graph.node("Identity", add_gru_stack(graph, "x", stack, time=6), out="y")
    path = tmp_path / "a model.onnx"
    path.write_bytes(graph.model("gru", {"x": (6, 1, 5)}, {"y": (6, 8)}).SerializeToString())
    return path


def test_a_converted_model_gives_the_values_of_the_equation(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "model.mnn"
    convert_to_mnn(source, target)
    x = np.random.default_rng(1).normal(size=(6, 1, 5)).astype(np.float32)
    want = oracle.gru_stack(
        oracle.random_stack(np.random.default_rng(0), 5, units=8, depth=2), x[:, 0].astype(np.float64)
    )
    np.testing.assert_allclose(Session(target).run(x=x)["y"], want, atol=1e-6)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a model.onnx", "model.mnn"]


def test_equal_onnx_files_give_equal_mnn_files(source: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.mnn", tmp_path / "second.mnn"
    convert_to_mnn(source, first)
    convert_to_mnn(source, second)
    assert first.read_bytes() == second.read_bytes()


def test_gru_nodes_become_native_commands(source: Path, tmp_path: Path) -> None:
    # If a GRU became a loop and not a native command, MNN would need its Module API, which takes fifty times as long.
    target = tmp_path / "model.mnn"
    convert_to_mnn(source, target)
    from MNN import Interpreter

    interpreter = Interpreter(str(target))
    session = interpreter.createSession()
    kinds: list[str] = []
    interpreter.runSessionWithCallBackInfo(
        session, lambda tensors, info: kinds.append(info.getType()) or True, lambda tensors, info: True
    )
    assert kinds.count("RNNSequenceGRU") == 2
    assert "While" not in kinds


def test_a_failed_conversion_keeps_the_older_model(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "model.mnn"
    target.write_bytes(b"older")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"this is not an ONNX model")
    with pytest.raises(ConversionError, match=r"broken\.onnx"):
        convert_to_mnn(broken, target)
    assert target.read_bytes() == b"older"
    convert_to_mnn(source, target)
    assert target.stat().st_size > 1000


def test_a_missing_input_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="no such file"):
        convert_to_mnn(tmp_path / "none.onnx", tmp_path / "model.mnn")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"\x00" * 100, b"text\n" * 50])
def test_a_file_that_is_not_onnx_is_an_error_and_leaves_no_files(content: bytes, tmp_path: Path) -> None:
    source = tmp_path / "bad.onnx"
    source.write_bytes(content)
    with pytest.raises(ConversionError, match="bad"):
        convert_to_mnn(source, tmp_path / "model.mnn")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.onnx"]


def test_a_missing_output_folder_is_an_error(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="cannot write"):
        convert_to_mnn(source, tmp_path / "none" / "model.mnn")


def test_the_error_of_a_converter_that_fails_quotes_its_last_line(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = tmp_path / "child.py"
    child.write_text("print('first')\nprint('out of luck')\nraise SystemExit(134)\n")
    monkeypatch.setattr(convert, "CHILD", child)
    with pytest.raises(ConversionError, match="code 134 and printed: out of luck"):
        convert_to_mnn(source, tmp_path / "model.mnn")


def test_a_converter_that_reports_success_without_a_file_is_an_error(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = tmp_path / "child.py"
    child.write_text("print('Converted Success!')\n")
    monkeypatch.setattr(convert, "CHILD", child)
    with pytest.raises(ConversionError, match="Success"):
        convert_to_mnn(source, tmp_path / "model.mnn")


def test_a_converter_that_hangs_is_ended(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    child = tmp_path / "child.py"
    child.write_text("import signal\nsignal.pause()\n")
    monkeypatch.setattr(convert, "CHILD", child)
    monkeypatch.setattr(convert, "TIMEOUT_SECONDS", 0.5)
    with pytest.raises(ConversionError, match="no result"):
        convert_to_mnn(source, tmp_path / "model.mnn")


def test_the_child_process_imports_only_the_converter() -> None:
    # A process that loads both the converter and TensorFlow aborts. Importing `MNN.tools` would install packages.
    code = (
        "import runpy, sys, types\n"
        "tools = types.ModuleType('_tools'); tools.mnnconvert = lambda arguments: True; sys.modules['_tools'] = tools\n"
        f"runpy.run_path({str(convert.CHILD)!r})['main']('a', 'b')\n"
        "heads = {name.split('.')[0] for name in sys.modules}\n"
        "print(sorted(heads & {'MNN', 'tensorflow', 'keras', 'onnx', 'numpy', 'edgerec', 'google'}))\n"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.skipif(
    sys.platform != "linux", reason="needs Linux, where a process can ask to be killed when its parent ends"
)
def test_the_converter_ends_if_its_parent_is_killed(tmp_path: Path) -> None:
    # The child waits for the other end of a pipe, so it ends only when it is killed.
    os.mkfifo(tmp_path / "pipe")
    parent = (
        "import os, subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-I', sys.argv[1], str(os.getpid()), *sys.argv[2:]])\n"
        "print(child.pid, flush=True)\n"
        "child.wait()\n"
    )
    (tmp_path / "_tools.py").write_text("def mnnconvert(arguments):\n    open(arguments[4]).read()\n")
    command = [sys.executable, "-c", parent, str(convert.CHILD), str(tmp_path), str(tmp_path / "pipe"), "model.mnn"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        # This call returns when the child has opened the pipe. From then on, the child only waits.
        pipe = os.open(tmp_path / "pipe", os.O_WRONLY)
        process.kill()
    while _runs(child):
        time.sleep(0.01)
    os.close(pipe)


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
