"""Find data sources by name. No source is imported for its help, so `--help` works without polars.

A source of EdgeRec is a module in this folder, and a feature specification (JSON) with the same name beside it.
"""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from edgerec.core.errors import InputError
from edgerec.core.plugins import check_own_name, classes_in, find_plugin, plugin_names
from edgerec.core.text import did_you_mean

if TYPE_CHECKING:
    from edgerec.data.sources.source import Source

ENTRY_POINTS = "edgerec.sources"
"""The group of entry points in which other packages add sources. The entry point's name is the command's name."""

_FILES = {spec.stem.replace("_", "-"): spec.with_suffix(".py") for spec in Path(__file__).parent.glob("*.json")}
"""The file of the module of each source of EdgeRec, by the name of the source."""


def source_names() -> list[str]:
    """Return the names of all sources, including those of other packages."""
    return sorted({*_FILES, *plugin_names(ENTRY_POINTS)})


def source_help(name: str) -> str:
    """Return the help of a source's command. EdgeRec's sources have it in the first line of the module's docstring."""
    if name not in _FILES:
        return f"The data set {name!r} of another package."
    text = ast.get_docstring(ast.parse(_FILES[name].read_bytes()))
    return (text or "").partition("\n")[0]


def find_source(name: str) -> type[Source]:
    """Import the class of a source.

    Raises:
        InputError: no source has this name.
        PluginError: the source of another package cannot be imported, or has a name that is in use.
    """
    from edgerec.data.sources.source import Source

    if name in _FILES:
        check_own_name(ENTRY_POINTS, name)
        (found,) = classes_in(import_module(f"{__name__}.{_FILES[name].stem}"), Source)  # type: ignore[type-abstract]
        return found
    plugin: type[Source] | None = find_plugin(ENTRY_POINTS, name, Source)  # type: ignore[type-abstract]
    if plugin is None:
        names = source_names()
        raise InputError(
            f"import: there is no source {name!r}{did_you_mean(name, names)}; the sources are: {', '.join(names)}"
        )
    return plugin
