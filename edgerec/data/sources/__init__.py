"""The registry of data sources. It does not import the sources, so `--help` works without polars."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from edgerec.core.errors import InputError
from edgerec.core.plugins import check_own_name, find_plugin, plugin_names
from edgerec.core.text import did_you_mean

if TYPE_CHECKING:
    from edgerec.data.sources.source import Source

ENTRY_POINTS = "edgerec.sources"
"""The group of entry points in which other packages add sources. The entry point's name is the command's name."""

SOURCES = {
    "ebnerd": (
        "ebnerd:Ebnerd",
        "EB-NeRD (news, Ekstra Bladet): SOURCE is the folder that holds train/ and validation/.",
    ),
    "kuairand": (
        "kuairand:Kuairand",
        "KuaiRand-Pure (short video, Kuaishou): SOURCE is the folder that holds both splits and the table of videos.",
    ),
    "taobao-mcc": (
        "taobao_mcc:TaobaoMcc",
        "Taobao-MCC (Tianchi 109858): SOURCE is the folder that holds the two files Part1-taobao_open_mcc_*.csv.",
    ),
}
"""The module and class of each source of EdgeRec, and the help of its command."""


def source_names() -> list[str]:
    """Return the names of all sources, including those of other packages."""
    return sorted({*SOURCES, *plugin_names(ENTRY_POINTS)})


def source_help(name: str) -> str:
    """Return the help of a source's command."""
    return SOURCES[name][1] if name in SOURCES else f"The data set {name!r} of another package."


def find_source(name: str) -> type[Source]:
    """Import the class of a source.

    Raises:
        InputError: no source has this name.
        PluginError: the source of another package cannot be imported, or has a name that is in use.
    """
    from edgerec.data.sources.source import Source

    if name in SOURCES:
        check_own_name(ENTRY_POINTS, name)
        module, kind = SOURCES[name][0].split(":")
        found: type[Source] = getattr(importlib.import_module(f"{__name__}.{module}"), kind)
        return found
    plugin: type[Source] | None = find_plugin(ENTRY_POINTS, name, Source)  # type: ignore[type-abstract]
    if plugin is None:
        names = source_names()
        raise InputError(
            f"import: there is no source {name!r}{did_you_mean(name, names)}; the sources are: {', '.join(names)}"
        )
    return plugin
