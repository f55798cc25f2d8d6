"""The public surface: what `import edgerec` gives and costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import edgerec
import edgerec.layers

HEAVY = ("tensorflow", "keras", "onnx", "MNN", "numpy", "polars", "pydantic", "redis")


def modules_after(statement: str) -> set[str]:
    """Return the modules of a new process after `statement`."""
    code = f"{statement}; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_import_edgerec_brings_no_heavy_module() -> None:
    assert not modules_after("import edgerec, edgerec.layers") & set(HEAVY)


def test_a_name_of_the_device_brings_no_training() -> None:
    found = modules_after("from edgerec import load_device_model")
    assert "edgerec.bundle.load" in found
    assert not found & {"tensorflow", "keras", "onnx", "polars"}


def test_a_layer_brings_keras_and_nothing_of_the_data() -> None:
    found = modules_after("from edgerec.layers import Crban, BehaviourEncoder")
    assert "keras" in found
    assert not found & {"polars", "onnx", "MNN"}


def test_a_name_whose_extra_is_not_installed_says_what_to_install() -> None:
    code = """
import sys

sys.modules["tensorflow"] = None
try:
    from edgerec import train
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "MissingExtraError tensorflow is not installed: pip install 'edgerec[train]'\n"


@pytest.mark.parametrize("module", [edgerec, edgerec.layers], ids=["edgerec", "edgerec.layers"])
def test_every_public_name_is_there(module: object) -> None:
    names = module.__all__  # type: ignore[attr-defined]
    assert names == sorted(names)
    assert set(names) <= set(dir(module))
    for name in names:
        assert getattr(module, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'nope'"):
        module.nope  # type: ignore[attr-defined]  # noqa: B018
