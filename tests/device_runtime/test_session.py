from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from edgerec.core.errors import SessionError
from edgerec.device_runtime.session import Session
from tests.mnn_models import built


@pytest.fixture(scope="module")
def model() -> bytes:
    return built().ie


@pytest.fixture
def inputs(model: bytes) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = Session(model).inputs
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def test_a_session_has_the_names_and_shapes_of_the_model(model: bytes) -> None:
    session = Session(model)
    assert session.inputs == {"action": (1, 1, 7), "item": (1, 1, 21), "state": (6, 1, 32)}
    assert session.outputs == {"key": (128, 1), "value": (32, 1), "new_state": (6, 1, 32)}


def test_a_file_and_its_bytes_give_the_same_outputs(
    model: bytes, inputs: dict[str, np.ndarray], tmp_path: Path
) -> None:
    path = tmp_path / "with space.mnn"
    path.write_bytes(model)
    first, second = Session(path).run(**inputs), Session(model).run(**inputs)
    assert first.keys() == second.keys()
    for name, array in first.items():
        np.testing.assert_array_equal(array, second[name])


def test_the_copy_of_a_killed_process_is_removed_by_the_next_load(
    model: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = """
        import os, signal, sys
        from edgerec.device_runtime import interpreter
        interpreter._create = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        interpreter.load_interpreter(sys.stdin.buffer.read(), "m", threads=1)
    """
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    subprocess.run([sys.executable, "-c", textwrap.dedent(killed)], input=model, check=False)
    assert [path.name for path in tmp_path.rglob("*.mnn")] == ["model.mnn"]
    Session(model)
    assert list(tmp_path.iterdir()) == []
    # The temporary folder is listed once in a process, because a large one makes each start slower.
    monkeypatch.setattr("edgerec.device_runtime.interpreter.clear_leftovers", pytest.fail)
    monkeypatch.setattr("edgerec.core.leftovers.clear_leftovers", pytest.fail)
    Session(model)


def test_outputs_stay_valid_after_the_next_run_and_the_session(model: bytes, inputs: dict[str, np.ndarray]) -> None:
    session = Session(model)
    kept = session.run(**inputs)
    copies = {name: array.copy() for name, array in kept.items()}
    session.run(**{name: -array for name, array in inputs.items()})
    del session
    for name, array in kept.items():
        np.testing.assert_array_equal(array, copies[name])
        assert array.flags.owndata


def test_a_run_does_not_change_the_callers_inputs(model: bytes, inputs: dict[str, np.ndarray]) -> None:
    for array in inputs.values():
        array.flags.writeable = False
    first = Session(model)
    before = first.run(**inputs)
    after = first.run(**inputs)
    for name, array in before.items():
        np.testing.assert_array_equal(array, after[name])


def test_an_array_in_any_memory_order_is_accepted(model: bytes, inputs: dict[str, np.ndarray]) -> None:
    session = Session(model)
    want = session.run(**inputs)
    wide = np.zeros((6, 2, 64), np.float32)
    wide[:, ::2, ::2] = inputs["state"]
    got = session.run(**{**inputs, "state": wide[:, ::2, ::2]})
    np.testing.assert_array_equal(got["value"], want["value"])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda a: a.pop("state"), "inputs should be"),
        (lambda a: a.update(other=a["state"]), "inputs should be"),
        (lambda a: a.update(state=a["state"].astype(np.float64)), "float64"),
        (lambda a: a.update(state=a["state"].astype(np.int32)), "int32"),
        (lambda a: a.update(state=a["state"].astype(">f4")), ">f4"),
        (lambda a: a.update(state=a["state"][:5]), "shape"),
        (lambda a: a.update(state=a["state"].reshape(-1)), "shape"),
        (lambda a: a.update(state=a["state"][np.newaxis]), "shape"),
        (lambda a: a.update(state=a["state"][:0]), "shape"),
        (lambda a: a.update(state=a["state"].tolist()), "list"),
        (lambda a: a.update(state=None), "NoneType"),
        (lambda a: a.update(state=np.float32(1)), "float32"),
    ],
)
def test_an_invalid_input_is_an_error_and_the_session_still_works(
    change: object, named: str, model: bytes, inputs: dict[str, np.ndarray]
) -> None:
    session = Session(model)
    want = session.run(**inputs)
    wrong = dict(inputs)
    change(wrong)  # type: ignore[operator]
    with pytest.raises(SessionError, match=named):
        session.run(**wrong)
    np.testing.assert_array_equal(session.run(**inputs)["key"], want["key"])


@pytest.mark.parametrize("threads", [0, -1, True, 1.5, "2", None])
def test_a_number_of_threads_that_is_not_a_whole_number_is_an_error(threads: object, model: bytes) -> None:
    with pytest.raises(SessionError, match="threads"):
        Session(model, threads=threads)  # type: ignore[arg-type]


def test_the_number_of_threads_does_not_change_outputs(model: bytes, inputs: dict[str, np.ndarray]) -> None:
    one, two = Session(model).run(**inputs), Session(model, threads=2).run(**inputs)
    np.testing.assert_allclose(one["value"], two["value"], atol=1e-6)


def test_a_view_of_an_unknown_tensor_is_an_error(model: bytes) -> None:
    with pytest.raises(SessionError, match="no `nothing`"):
        Session(model).view("nothing")


def damaged_models(model: bytes) -> list[bytes]:
    rng = random.Random(0)
    cuts = [0, 1, 4, 63, 64, 1000, len(model) // 2, len(model) - 1]
    noise = [rng.randbytes(size) for size in (1, 64, 65, 1000, 200_000)]
    text = [b"hello world\n" * 100, b"\x00" * 1000, b"\xff" * 1000, (16).to_bytes(4, "little") + b"\x00" * 100]
    return [model[:cut] for cut in cuts] + noise + text + [model[4:], b"\x00" * 8 + model]


def test_bytes_that_are_not_a_model_are_an_error_and_do_not_crash(model: bytes, tmp_path: Path) -> None:
    for index, content in enumerate(damaged_models(model)):
        path = tmp_path / f"{index}.mnn"
        path.write_bytes(content)
        for source in (content, path):
            with pytest.raises(SessionError, match="model"):
                Session(source)


def test_a_missing_file_or_a_folder_is_an_error(tmp_path: Path) -> None:
    for path in (tmp_path / "none.mnn", tmp_path):
        with pytest.raises(SessionError, match="cannot read"):
            Session(path)


def test_no_output_of_other_threads_is_lost_while_a_model_is_loaded(model: bytes, tmp_path: Path) -> None:
    """All threads share descriptor 1. If loading a model redirected it, the output of other threads would be lost."""
    path = tmp_path / "model.mnn"
    path.write_bytes(model)
    code = """
        import os, sys, threading
        from pathlib import Path
        from edgerec.core.errors import SessionError
        from edgerec.device_runtime.session import Session
        assert "MNN" not in sys.modules and "onnx" not in sys.modules and "tensorflow" not in sys.modules
        stop = threading.Event()

        def write():
            number = 0
            while not stop.is_set() or number < 100:
                os.write(1, b"line %d\\n" % number)
                number += 1
            print("wrote", number, flush=True)

        def load():
            for source in [Path(sys.argv[1]), Path(sys.argv[1]).read_bytes()] * 3:
                Session(source)
            try:
                Session(b"\\x10" + bytes(999))
            except SessionError:
                pass

        loading = [threading.Thread(target=load) for _ in range(4)]
        writing = threading.Thread(target=write)
        for thread in [writing, *loading]:
            thread.start()
        for thread in loading:
            thread.join()
        stop.set()
        writing.join()
        print("after")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(path)], capture_output=True, text=True, check=True
    )
    # MNN prints lines of its own, on import and for a file that is not a model. They can come between other lines.
    found = re.findall(r"line (\d+)\n", done.stdout)
    assert found == [str(number) for number in range(len(found))]
    assert f"wrote {len(found)}\n" in done.stdout
    assert done.stdout.endswith("after\n")


def test_a_session_loads_after_standard_output_was_closed(model: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.mnn"
    path.write_bytes(model)
    code = (
        "import os, sys; os.close(1)\nfrom pathlib import Path\n"
        "from edgerec.device_runtime.session import Session\nSession(Path(sys.argv[1]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr


def test_a_session_loads_in_a_process_that_started_without_standard_output(model: bytes, tmp_path: Path) -> None:
    """If descriptor 1 is closed before the process starts (a service, `>&-`), `sys.stdout` is None."""
    path = tmp_path / "model.mnn"
    path.write_bytes(model)
    code = (
        "import sys\nfrom pathlib import Path\nfrom edgerec.device_runtime.session import Session\n"
        "assert sys.stdout is None\nprint(sorted(Session(Path(sys.argv[1])).inputs), file=sys.stderr)\n"
    )
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, preexec_fn=lambda: os.close(1))
    assert (done.returncode, done.stderr) == (0, "['action', 'item', 'state']\n")


def test_observe_returns_the_outputs_of_operations(model: bytes, inputs: dict[str, np.ndarray]) -> None:
    session = Session(model)
    want = session.run(**inputs)
    seen = session.observe(**inputs)
    for name, array in want.items():
        np.testing.assert_array_equal(seen[name], array)
        assert seen[name].flags.owndata
    # The result contains the outputs of all recurrent layers, of which the new state consists.
    layers = [array.reshape(-1) for array in seen.values() if array.size == 32 and array.shape != (32, 1)]
    for layer in want["new_state"].reshape(6, 32):
        assert any(np.array_equal(layer, one) for one in layers)
    kept = {name: array.copy() for name, array in seen.items()}
    session.run(**{name: -array for name, array in inputs.items()})
    for name, array in seen.items():
        np.testing.assert_array_equal(array, kept[name])
    with pytest.raises(SessionError, match="inputs should be"):
        session.observe()
