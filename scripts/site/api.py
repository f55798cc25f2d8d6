"""Write the pages of the API reference: a page for each row of the table of docs/python.md, and one for the layers.

The pages name the public names of `edgerec` and `edgerec.layers`. mkdocstrings writes what their docstrings say. It
reads the source and imports nothing.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
LAYERS = "Layers"


def public(package: Path) -> dict[str, str]:
    """Return the module of each public name: the imports for type checkers in the package's `__init__.py`."""
    tree = ast.parse((package / "__init__.py").read_text(encoding="utf-8"))
    blocks = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    imports = [node for block in blocks for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: node.module or "" for node in imports for alias in node.names}


def groups(root: Path) -> dict[str, list[str]]:
    """Return the public names of `edgerec` in the groups of docs/python.md.

    Raises:
        ValueError: the table does not have each public name once.
    """
    table = (root / "docs" / "python.md").read_text(encoding="utf-8").split("| what for |", 1)[1].split("\n\n", 1)[0]
    found = {}
    for line in table.splitlines()[2:]:
        title, names, *_ = (cell.strip() for cell in line.strip("|").split(" | "))
        title = re.sub(r" \(.*", "", LINK.sub(r"\1", title))
        found[title[0].upper() + title[1:]] = re.findall(r"`([A-Za-z_]+)`", names)
    listed, names = sorted(name for names in found.values() for name in names), sorted(public(root / "edgerec"))
    if listed != names:
        different = sorted({*listed} ^ {*names}) or "a name is there twice"
        raise ValueError(
            f"docs/python.md: the table of names should have each public name of edgerec once: {different}"
        )
    return found


def pages(root: Path) -> dict[str, str]:
    """Return the Markdown of each page of the reference, by its path in the site."""
    homes = public(root / "edgerec")
    found = {}
    for title, names in groups(root).items():
        found[f"api/{_file(title)}"] = _page(title, "edgerec", {name: homes[name] for name in names})
    layers = public(root / "edgerec" / "layers")
    found[f"api/{_file(LAYERS)}"] = _page(LAYERS, "edgerec.layers", dict(sorted(layers.items())))
    rows = [f"- [{title}]({path.removeprefix('api/')})" for path, title in titles(found).items()]
    found["api/index.md"] = (
        "# API reference\n\nThe public names of `edgerec` and `edgerec.layers`, from their docstrings. "
        "[From Python](../python.md) shows how they belong together.\n\n" + "\n".join(rows) + "\n"
    )
    return found


def titles(found: dict[str, str]) -> dict[str, str]:
    """Return the title of each page."""
    return {path: text.partition("\n")[0].removeprefix("# ") for path, text in found.items()}


def _file(title: str) -> str:
    return re.sub(r"[^a-z]+", "-", title.lower()).strip("-") + ".md"


def _page(title: str, package: str, names: dict[str, str]) -> str:
    blocks = [
        f"::: {module}.{name}\n    options:\n      heading: {package}.{name}\n      toc_label: {name}\n"
        for name, module in names.items()
    ]
    return f"# {title}\n\nImport these names from `{package}`.\n\n" + "\n".join(blocks)
