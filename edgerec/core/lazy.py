"""Import the public names of a package when they are first used."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

EXTRAS = {
    "numpy": "device",
    "MNN": "device",
    "polars": "train",
    "tensorflow": "train",
    "keras": "train",
    "onnx": "export",
    "optuna": "tune",
    "fastapi": "cloud",
    "uvicorn": "cloud",
    "jinja2": "report",
}
"""For each module of another package, the extra of EdgeRec that installs it."""

_NEEDS = {
    "edgerec.core": (),
    "edgerec.features": ("numpy",),
    "edgerec.mixing": ("numpy",),
    "edgerec.paging": ("numpy",),
    "edgerec.bundle": ("numpy",),
    "edgerec.device_runtime": ("numpy",),
    "edgerec.model_update": ("numpy",),
    "edgerec.data": ("numpy", "polars"),
    "edgerec.layers": ("tensorflow", "keras"),
    "edgerec.rankers": ("tensorflow", "keras"),
    "edgerec.model": ("tensorflow", "keras", "polars"),
    "edgerec.model.tuning": ("tensorflow", "keras", "polars", "optuna"),
    "edgerec.simulation": ("numpy", "polars"),
    "edgerec.data.starting": ("numpy", "polars", "jinja2"),
    "edgerec.explanation": ("numpy", "polars", "MNN"),
    "edgerec.cloud": ("numpy", "polars", "fastapi", "uvicorn"),
    "edgerec.export": ("tensorflow", "keras", "polars", "onnx", "MNN"),
}
"""For each folder of EdgeRec that has public names, the modules that importing the names needs. The innermost folder
of a name counts."""


def importable(modules: Mapping[str, str]) -> list[str]:
    """Return the public names whose extra is installed. Nothing is imported.

    Args:
        modules: the module of each public name.
    """
    found = {module: find_spec(module) is not None for module in EXTRAS}
    return [name for name, home in modules.items() if all(map(found.get, _needs(home)))]


def _needs(module: str) -> tuple[str, ...]:
    """Return the modules of other packages that importing `module` needs: those of its innermost folder."""
    return _NEEDS[max((folder for folder in _NEEDS if module.startswith(f"{folder}.")), key=len)]


def lazy_attribute(package: str, modules: Mapping[str, str], name: str) -> Any:
    """Return the attribute `name` of `package`, imported from its module.

    Args:
        package: name of the package.
        modules: the module of each public name.
        name: name of the attribute.

    Raises:
        AttributeError: the package has no such public name.
        MissingExtraError: the module needs a package that is not installed.
    """
    if name not in modules:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    try:
        return getattr(import_module(modules[name]), name)
    except ModuleNotFoundError as error:
        from edgerec.core.errors import MissingExtraError, not_installed

        missing = (error.name or "").partition(".")[0]
        if missing not in EXTRAS:
            raise
        raise MissingExtraError(not_installed(missing, EXTRAS[missing])) from None
