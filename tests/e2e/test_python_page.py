"""The examples of docs/python.md run without changes."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import edgerec
import edgerec.layers

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "python.md").read_text()


def run(title: str) -> dict[str, object]:
    """Run the code of a section, and return the variables that it sets."""
    code = re.search(rf"^## {title}\n.*?```python\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE)
    assert code
    names: dict[str, object] = {}
    exec(code[1], names)
    return names


@pytest.mark.usefixtures("eager")
def test_the_example_from_logs_to_the_device_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = re.search(r"```bash\npython (.*)\n```", PAGE)
    assert command
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    subprocess.run([sys.executable, *command[1].split()], cwd=tmp_path, check=True, capture_output=True)
    monkeypatch.chdir(tmp_path)
    run("From logs to a bundle")
    gauc, parity = map(float, capsys.readouterr().out.split()[-2:])
    assert 0 < gauc < 1
    assert 0 < parity < 1e-4
    names = run("A bundle on the device, from raw values")
    assert sorted(names["order"].tolist()) == [0, 1]  # type: ignore[attr-defined]


# TensorFlow warns that functions of tf.data are still traced.
@pytest.mark.filterwarnings("ignore:Even though the .*run_functions_eagerly")
@pytest.mark.usefixtures("eager")
def test_the_example_of_layers_in_another_keras_model_runs(capsys: pytest.CaptureFixture[str]) -> None:
    run("Our layers in your own Keras model")
    assert capsys.readouterr().out.splitlines()[-1] == "(64, 10)"


def test_the_page_has_every_public_name() -> None:
    for name in (*edgerec.__all__, *edgerec.layers.__all__):
        assert f"`{name}`" in PAGE, name
