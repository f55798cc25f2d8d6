"""Import the public names of a package when they are first used."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

EXTRAS = {
    "numpy": "device",
    "MNN": "device",
    "polars": "train",
    "tensorflow": "train",
    "keras": "train",
    "onnx": "export",
}
"""For each module of another package, the extra of EdgeRec that installs it."""


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
        from edgerec.core.errors import MissingExtraError

        missing = (error.name or "").partition(".")[0]
        if missing not in EXTRAS:
            raise
        raise MissingExtraError(f"{missing} is not installed: pip install 'edgerec[{EXTRAS[missing]}]'") from None
