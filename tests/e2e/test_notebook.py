"""examples/edgerec.ipynb: it is stored without outputs, its calls fit the public interface, and it runs."""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "examples" / "edgerec.ipynb"
TEXT = NOTEBOOK.read_text(encoding="utf-8")
CELLS: list[dict[str, Any]] = json.loads(TEXT)["cells"]
CODE = {cell["id"]: "".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "code"}
RUN = """
import ast, json, sys
names = {"__name__": "__main__"}
for number, code in json.load(sys.stdin).items():
    body = ast.parse(code).body
    last = body.pop() if isinstance(body[-1], ast.Expr) else None
    exec(compile(ast.Module(body, []), number, "exec"), names)
    if last is not None:
        value = eval(compile(ast.Expression(last.value), number, "eval"), names)
        print(number, repr(value.to_dicts() if hasattr(value, "to_dicts") else value))
"""
"""Runs cells as a notebook does: the value of the last expression of a cell is shown, that of a table as its rows."""
HEAVY = ("edgerec.model.training", "edgerec.model.evaluation", "edgerec.export.", "edgerec.layers", "edgerec.rankers")
"""Modules that import TensorFlow, which takes half a minute on a busy machine."""


def test_the_notebook_is_stored_as_jupyter_writes_it_and_without_outputs() -> None:
    assert json.dumps(json.loads(TEXT), indent=1, ensure_ascii=False, sort_keys=True) + "\n" == TEXT
    document = json.loads(TEXT)
    assert (document["nbformat"], document["nbformat_minor"]) == (4, 5)
    assert document["metadata"] == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    assert [cell["id"] for cell in CELLS] == [f"cell-{number:02d}" for number in range(1, len(CELLS) + 1)]
    for cell in CELLS:
        more = {"execution_count": None, "outputs": []} if cell["cell_type"] == "code" else {}
        assert {**cell, "source": None, "id": None} == {
            "cell_type": cell["cell_type"], "metadata": {}, "source": None, "id": None, **more,
        }  # fmt: skip


def test_links_of_the_notebook_point_to_existing_files() -> None:
    text = "".join("".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "markdown")
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert links
    for link in links:
        assert (NOTEBOOK.parent / link).is_file(), link


def uses(tree: ast.AST) -> Iterator[tuple[str, ast.Call | None]]:
    """Yield each use of a name of EdgeRec, with the call if the name is called."""
    calls = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    layers = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "edgerec.layers"
        for alias in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "edgerec":
            yield node.attr, calls.get(id(node))
        elif isinstance(node, ast.Name) and node.id in layers:
            yield f"layers.{node.id}", calls.get(id(node))


def faults(code: str, *, unread: tuple[str, ...] = ()) -> list[str]:
    """Return the uses of EdgeRec's names in a code that the public interface does not have.

    The arguments of what modules that begin with `unread` define are not compared.
    """
    found = []
    for name, call in uses(ast.parse(code)):
        module, _, attribute = f"edgerec.{name}".rpartition(".")
        public = import_module(module)
        if attribute not in public.__all__:
            found.append(f"{name} is not public")
        elif call is not None and not public._HOME[attribute].startswith(unread):
            keywords = {keyword.arg: None for keyword in call.keywords if keyword.arg}
            try:
                inspect.signature(getattr(public, attribute)).bind(*[None] * len(call.args), **keywords)
            except TypeError as error:
                found.append(f"{name}: {error}")
    return found


@pytest.mark.parametrize("unread", [HEAVY, pytest.param((), marks=pytest.mark.slow)], ids=["light", "all"])
def test_the_cells_compile_and_their_calls_fit_the_public_interface(unread: tuple[str, ...]) -> None:
    for number, code in CODE.items():
        compile(code, number, "exec")
    assert faults("\n".join(CODE.values()), unread=unread) == []
    names = {name for name, _ in uses(ast.parse("\n".join(CODE.values())))}
    assert names >= {"simulate", "write_samples", "train", "evaluate", "export_bundle", "Client", "layers.Crban"}


def test_calls_that_do_not_fit_are_found() -> None:
    assert faults("edgerec.nothing()") == ["nothing is not public"]
    assert faults("edgerec.simulate(1, epochs=2)") == ["simulate: missing a required argument: 'path'"]
    assert faults("edgerec.train(1, epochs=2)", unread=HEAVY) == []
    assert faults("edgerec.TrainConfig(epoch=2)") == ["TrainConfig: got an unexpected keyword argument 'epoch'"]


@pytest.mark.slow  # a minute of training and export
def test_the_notebook_runs(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        input=json.dumps(CODE),
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    shown = dict(re.findall(r"^(cell-\d\d) (.*)", done.stdout, re.MULTILINE))
    assert shown["cell-12"] == "{'errors': 0, 'warnings': 0}"
    assert float(shown["cell-32"]) == 0, "a layer that was saved and loaded gives other values"
    orders = [list(row.values()) for row in ast.literal_eval(shown["cell-26"])]
    # The user has seen two more cards each time. Without a re-rank the rest would stay in order.
    assert any(before[2:] != after[:4] for before, after in pairwise(orders)), orders
    received = ast.literal_eval(shown["cell-28"])
    assert sum(label == 1 for row in received for label in row["clicked"]) >= 4, received
    assert {row["trigger"] for row in received} > {"page"}
    assert all(row["model_version"] for row in received)
    assert not list(tmp_path.glob("edgerec-*")), "the last cell should remove the notebook's folder"
    measured = next(ast.literal_eval(text) for text in shown.values() if "base_order" in text)
    assert measured["gauc"] > measured["random"]
