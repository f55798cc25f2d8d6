"""Tests of the public names of EdgeRec, and of the packages that importing them loads."""

from __future__ import annotations

import ast
import inspect
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
import pytest
from pydantic import BaseModel, ValidationError

import edgerec
import edgerec.layers
from edgerec.core.errors import ConfigurationError, EdgeRecError, InputError
from edgerec.core.lazy import EXTRAS
from edgerec.model.config import load_config

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


@pytest.mark.slow  # imports TensorFlow in a new process; an import contract forbids the same packages
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
        pytest.param("optuna", "edgerec", "tune", "tune", marks=pytest.mark.slow),  # imports TensorFlow
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
    assert done.stdout == f"MissingExtraError {missing} is not installed: run pip install 'edgerec[{extra}]'\n"


@pytest.mark.parametrize(
    "missing",
    [
        ["numpy", "polars", "keras", "onnx"],
        ["polars", "keras", "onnx"],
        pytest.param(["onnx", "optuna"], marks=pytest.mark.slow),  # imports TensorFlow twice
    ],
)
def test_help_lists_the_names_that_can_be_imported(missing: list[str]) -> None:
    code = f"""
import pydoc, sys

sys.modules.update(dict.fromkeys({missing}))
import edgerec, edgerec.layers

pydoc.render_doc(edgerec.layers)
pydoc.render_doc(edgerec)
print(*sorted(set(edgerec.__all__) & set(dir(edgerec))))
from edgerec import *
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    names = done.stdout.split()
    assert done.stderr.splitlines()[-1].endswith(f"run pip install 'edgerec[{EXTRAS[missing[0]]}]'")
    assert ("load_device_model" in names) == ("numpy" not in missing)
    assert ("train" in names) == ("finish" in names) == ("polars" not in missing)
    assert "tune" not in names
    assert "EdgeRecError" in names
    assert "export_bundle" not in names


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


PATH_ARGUMENTS: dict[str, Callable[[Any], object]] = {
    "check_logs: logs": lambda path: edgerec.check_logs(path),
    "explain: bundle": lambda path: edgerec.explain(path, "logs"),
    "simulate: path": lambda path: edgerec.simulate(edgerec.SimulationConfig(users=1), path, seed=-1),
    "write_start: paths": lambda path: edgerec.write_start([path], "made"),
    "load_bundle: bundle": lambda path: edgerec.load_bundle(path),
    "load_device_model: bundle": lambda path: edgerec.load_device_model(path),
    "load_id_map: path": lambda path: edgerec.load_id_map(path),
    "load_logs: path": lambda path: edgerec.load_logs(path),
    "load_run: path": lambda path: edgerec.load_run(path),
    "load_spec: path": lambda path: edgerec.load_spec(path),
    "open_logs: path": lambda path: edgerec.open_logs(path),
    "open_samples: path": lambda path: edgerec.open_samples(path),
    "open_tables: cloud": lambda path: edgerec.open_tables(path),
    "verify_bundle: bundle": lambda path: edgerec.verify_bundle(path),
    "write_samples: logs": lambda path: edgerec.write_samples(path, "made"),
    "write_samples: path": lambda path: edgerec.write_samples("logs", path),
    "write_samples: features": lambda path: edgerec.write_samples("logs", "made", features=path),
    "write_samples: logs_path": lambda path: edgerec.write_samples("logs", "made", logs_path=path),
    "export_bundle: run_path": lambda path: edgerec.export_bundle(path, "made"),
    "export_bundle: path": lambda path: edgerec.export_bundle("run", path),
    "export_bundle: samples_path": lambda path: edgerec.export_bundle("run", "made", samples_path=path),
}


class FolderEntry(os.PathLike[str]):
    """A path object that is no `pathlib.Path`."""

    def __fspath__(self) -> str:
        return "missing"


@pytest.mark.parametrize("argument", PATH_ARGUMENTS)
def test_a_path_may_be_a_string_or_any_path_object(
    argument: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    texts = set()
    for path in (Path("missing"), "missing", FolderEntry()):
        with pytest.raises(EdgeRecError) as error:
            PATH_ARGUMENTS[argument](path)
        texts.add(f"{type(error.value).__name__} {error.value}")
    assert len(texts) == 1


@pytest.mark.parametrize("argument", PATH_ARGUMENTS)
@pytest.mark.parametrize("value", [7, b"logs", ["logs"]])
def test_the_error_for_a_path_of_another_type_names_the_argument(argument: str, value: object) -> None:
    name = argument.partition(": ")[2]
    with pytest.raises(InputError, match=rf"{name}`? should be a path .*; received {type(value).__name__}$"):
        PATH_ARGUMENTS[argument](value)


@pytest.mark.parametrize("argument", PATH_ARGUMENTS)
@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("a\0b", "is not a valid path: embedded null"),
        ("\ud800", "is not a valid path: 'utf-8' codec can't encode"),
        ("x" * 5000, "cannot be opened: File name too long$"),
    ],
    ids=["null", "surrogate", "long"],
)
def test_the_error_for_an_invalid_path_names_the_argument(argument: str, path: str, said: str) -> None:
    name = argument.partition(": ")[2]
    with pytest.raises(InputError, match=rf"{name}`?: .* {said}"):
        PATH_ARGUMENTS[argument](path)


def test_objects_of_another_class_are_refused(samples: edgerec.Samples, tmp_path: Path) -> None:
    config = edgerec.TrainConfig()
    calls: dict[str, Callable[..., object]] = {
        "write_logs: `logs` should be a Logs; received int": lambda: edgerec.write_logs(1, 2),  # type: ignore[arg-type]
        "evaluate: `run` should be a Run; received str: use load_run": lambda: edgerec.evaluate("run", samples),  # type: ignore[arg-type]
        "train: `samples` should be a Samples; received str": lambda: edgerec.train("s", config, tmp_path / "run"),  # type: ignore[arg-type]
        "train: `config` should be a TrainConfig; received dict": lambda: edgerec.train(samples, {}, tmp_path / "run"),  # type: ignore[arg-type]
        "train: `path` should be a path .*; received int": lambda: edgerec.train(samples, config, 2),  # type: ignore[arg-type]
    }
    for text, call in calls.items():
        with pytest.raises(InputError, match=text):
            call()


BAD_ARGUMENTS: dict[str, Callable[[Any, edgerec.Samples], object]] = {
    "`limits` should be a mapping.*; received int": lambda x, _: edgerec.write_samples(x, x, limits=3),  # type: ignore[arg-type]
    "validation_fraction .*received 'a'": lambda x, _: edgerec.write_samples(x, x, validation_fraction="a"),  # type: ignore[arg-type]
    "processes .*received 1.5": lambda x, _: edgerec.write_samples(x, x, processes=1.5),  # type: ignore[arg-type]
    "test-from .*received 'a'": lambda x, _: edgerec.write_samples(x, x, test_from="a"),  # type: ignore[arg-type]
    "`target` .*received 0": lambda x, _: edgerec.write_samples(x, x, target=0),
    "requests .*received 'a'": lambda x, _: edgerec.export_bundle(x, x, requests="a"),  # type: ignore[arg-type]
    "shard-rows .*received True": lambda x, _: edgerec.export_bundle(x, x, shard_rows=True),
    "`number` should be below 1; received 9": lambda _, samples: samples.shard(9, "test"),
    "`number` .*received -1": lambda _, samples: samples.shard(-1, "test"),
    "shard: `split` .*received tset": lambda _, samples: samples.shard(0, "tset"),
    "shards: `split` .*received tset": lambda _, samples: next(samples.shards("tset")),
    "requests: `split` .*received tset": lambda _, samples: next(samples.requests("tset")),
}


@pytest.mark.parametrize("text", BAD_ARGUMENTS)
def test_the_error_for_an_invalid_argument_names_it(text: str, samples: edgerec.Samples, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=text):
        BAD_ARGUMENTS[text](tmp_path / "nothing", samples)


@pytest.mark.parametrize(("field", "kind"), [("head", "LogsHead"), ("spec", "FeatureSpec"), ("items", "DataFrame")])
def test_logs_with_a_field_of_another_class_are_refused(
    field: str, kind: str, samples: edgerec.Samples, tmp_path: Path
) -> None:
    tables = dict.fromkeys(("items", "events", "requests"), pl.DataFrame())
    fields = {"head": edgerec.LogsHead(name="shop"), "spec": samples.head.spec, **tables, field: {}}
    with pytest.raises(InputError, match=rf"write_logs: `logs\.{field}` should be a {kind}; received dict"):
        edgerec.write_logs(edgerec.Logs(**fields), tmp_path / "logs")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"model": "crbna"}, r"TrainConfig: model: there is no model 'crbna' \(did you mean crban\?\)"),
        ({"epoch": 1}, r"TrainConfig: epoch is not a known key \(did you mean epochs\?\); the known keys are: model, "),
        ({"epochs": -1}, r"TrainConfig: epochs should be at least 1; received -1"),
    ],
)
def test_an_invalid_train_config_raises_an_error_of_one_line(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{text}") as error:
        edgerec.TrainConfig(**settings)
    assert len(str(error.value).splitlines()) == 1
    assert error.value.__suppress_context__


def test_pydantic_validates_documents_with_a_train_config_as_usual() -> None:
    class Document(BaseModel):
        config: edgerec.TrainConfig

    with pytest.raises(ValidationError, match=r"config\.epochs"):
        Document.model_validate({"config": {"epochs": -1}})
    with pytest.raises(ValidationError, match="epochs"):
        edgerec.TrainConfig.model_validate({"epochs": -1})
    with pytest.raises(ConfigurationError, match="configuration options: epochs should be at least 1"):
        load_config(None, {"epochs": -1})
    config = edgerec.TrainConfig(epochs=2)
    assert config.model_copy(update={"seed": 3}) == edgerec.TrainConfig(epochs=2, seed=3)
    assert Document.model_validate_json(Document(config=config).model_dump_json()).config == config
    assert "epochs" in inspect.signature(edgerec.TrainConfig).parameters
