"""The examples of docs/python.md run without changes."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import edgerec
import edgerec.layers
from edgerec import load_logs, load_run
from edgerec.export.split import device_graphs, split
from tests.cloud.test_server import served
from tests.random_runs import of_model, on_device

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "python.md").read_text()
ON_DEVICE = """
import runpy, sys
for name in ("tensorflow", "keras", "polars", "onnx", "onnxruntime", "fastapi", "uvicorn", "redis", "cryptography"):
    sys.modules[name] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs a script with only the packages of the extra `device`."""
DEVICE_PAGE = (ROOT / "docs" / "device.md").read_text()


def run(title: str, names: dict[str, Any] | None = None, page: str = PAGE) -> dict[str, Any]:
    """Run the first Python code of a section. `names` has the variables before it. Return the variables after it."""
    code = re.search(rf"^##+ {title}\n.*?```python\n(.*?)```", page, re.DOTALL | re.MULTILINE)
    assert code
    names = {} if names is None else names
    exec(code[1], names)
    return names


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_the_example_from_logs_to_the_device_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = re.search(r"```sh\npython (.*)\n```", PAGE)
    assert command
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    subprocess.run([sys.executable, *command[1].split()], cwd=tmp_path, check=True, capture_output=True)
    monkeypatch.chdir(tmp_path)
    run("From logs to a bundle")
    gauc, parity = map(float, capsys.readouterr().out.split()[-2:])
    assert 0 < gauc < 1
    assert 0 < parity < 1e-4
    names = run("A bundle on the device, from raw values")
    assert sorted(names["order"].tolist()) == [0, 1]
    trained = load_run("run")
    graphs = device_graphs(split(of_model(trained, "crban_plus")), trained.head.limits)
    plus = replace(on_device(graphs, tmp_path), spec=trained.head.spec)
    names |= {"load_device_model": lambda _: plus, "order": None}
    run("The same with `crban_plus`", names)
    assert sorted(names["order"].tolist()) == [0, 1]
    capsys.readouterr()
    run("The three functions", page=DEVICE_PAGE)
    assert re.fullmatch(r"\[[\d ]+\]\n", capsys.readouterr().out)
    _run_the_client(tmp_path)


def _run_the_client(folder: Path) -> None:
    """Run the example of a client, in a process of its own, against a server in another one."""
    with served("bundle", "--catalogue", "logs", "--logs", "received") as (_, listening):
        example = str(ROOT / "examples" / "device_client.py")
        command = [sys.executable, "-c", ON_DEVICE, example, "bundle", listening["url"], "user.db"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    shown = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("shown:")]
    assert [len(set(items)) for items in shown][:1] == [8]
    assert all(items[0] == shown[0][0] for items in shown)
    assert [line for line in done.stdout.splitlines() if line.startswith("re-ranked")] == [
        "re-ranked: delete",
        "re-ranked: tab click",
    ]
    received = load_logs("received")
    assert received.requests["trigger"].to_list() == ["page", "delete", "tab", "click"]
    # A page-view in the millisecond of an exposure may stand before it.
    events = received.events.sort("kind", maintain_order=True)
    assert events["kind"].to_list() == ["exposure", "exposure", "page_view"]
    assert events["hidden"].to_list() == ["too_long", None, None]


def test_the_page_shows_the_example_of_a_client() -> None:
    example = (ROOT / "examples" / "device_client.py").read_text()
    assert f"```python\n{example}```" in DEVICE_PAGE
    assert len(example.splitlines()) < 40


# TensorFlow warns that functions of tf.data are still traced.
@pytest.mark.filterwarnings("ignore:Even though the .*run_functions_eagerly")
@pytest.mark.usefixtures("eager")
def test_the_example_of_layers_in_another_keras_model_runs(capsys: pytest.CaptureFixture[str]) -> None:
    run("Our layers in your own Keras model")
    assert capsys.readouterr().out.splitlines()[-1] == "(64, 10)"


def test_the_page_has_every_public_name() -> None:
    for name in (*edgerec.__all__, *edgerec.layers.__all__):
        assert f"`{name}`" in PAGE, name
