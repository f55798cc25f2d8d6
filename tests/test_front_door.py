"""Tests of the public names of EdgeRec, and of the packages that importing them loads."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from types import ModuleType

import pytest

import edgerec
import edgerec.layers

HEAVY = ("tensorflow", "keras", "onnx", "MNN", "numpy", "polars", "pydantic", "redis")


def modules_after(statement: str) -> set[str]:
    """Run `statement` in a new process. Return the names of all modules that are loaded after it."""
    code = f"{statement}; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_import_edgerec_imports_no_large_package() -> None:
    assert not modules_after("import edgerec, edgerec.layers") & set(HEAVY)


def test_importing_a_name_for_the_device_imports_no_training_package() -> None:
    found = modules_after("from edgerec import load_device_model")
    assert "edgerec.bundle.load" in found
    assert not found & {"tensorflow", "keras", "onnx", "polars"}


def test_importing_a_layer_imports_keras_but_no_package_for_data() -> None:
    found = modules_after("from edgerec.layers import Crban, BehaviourEncoder")
    assert "keras" in found
    assert not found & {"polars", "onnx", "MNN"}


@pytest.mark.parametrize(
    ("missing", "package", "name", "extra"),
    [
        ("tensorflow", "edgerec", "train", "train"),
        ("numpy", "edgerec", "load_device_model", "device"),
        ("polars", "edgerec", "open_logs", "train"),
        ("keras", "edgerec.layers", "Crban", "train"),
    ],
)
def test_the_error_for_a_missing_extra_gives_the_install_command(
    missing: str, package: str, name: str, extra: str
) -> None:
    code = f"""
import sys

sys.modules["{missing}"] = None
try:
    from {package} import {name}
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"MissingExtraError {missing} is not installed: pip install 'edgerec[{extra}]'\n"


FRONT_DOORS = pytest.mark.parametrize("module", [edgerec, edgerec.layers], ids=["edgerec", "edgerec.layers"])


@FRONT_DOORS
def test_every_public_name_exists(module: object) -> None:
    names = module.__all__  # type: ignore[attr-defined]
    assert names == sorted(names)
    assert set(names) <= set(dir(module))
    for name in names:
        assert getattr(module, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'nope'"):
        module.nope  # type: ignore[attr-defined]  # noqa: B018


@FRONT_DOORS
def test_type_checkers_see_the_names_that_are_imported_lazily(module: ModuleType) -> None:
    """The imports under `TYPE_CHECKING` have the same names and modules as the table of lazy imports."""
    (block,) = (
        node
        for node in ast.parse(inspect.getsource(module)).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    imports = [statement for statement in block.body if isinstance(statement, ast.ImportFrom)]
    typed = {alias.name: statement.module for statement in imports for alias in statement.names}
    assert typed == module._HOME
    assert set(typed) == set(module.__all__)
