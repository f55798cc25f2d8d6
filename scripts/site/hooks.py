"""What mkdocs.yml asks of the build: pages from outside docs/, the API reference, and the navigation of README.md."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parent))

import api
import links

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"^\| (?:\*\*(?P<group>[^*]+)\*\*|\[(?P<title>[^\]]+)\]\(docs/(?P<page>[^)]+)\)) *\|", re.MULTILINE)
STARTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")


def on_config(config: Any) -> Any:
    """Make the navigation: the groups of the table in README.md, the API reference, and pages about the project."""
    navigation: list[dict[str, Any]] = [{"EdgeRec": "index.md"}]
    table = (ROOT / "README.md").read_text(encoding="utf-8").split("## Documentation", 1)[1]
    pages: list[Any] = []
    listed = set()
    for row in ROW.finditer(table):
        if row["group"]:
            pages = []
            navigation.append({row["group"]: pages})
        else:
            if len(navigation) == 1:
                navigation.append({"Pages": pages})
            pages.append(row["page"])
            listed.add(row["page"])
    others = sorted(
        str(path.relative_to(ROOT / "docs"))
        for path in (ROOT / "docs").rglob("*.md")
        if str(path.relative_to(ROOT / "docs")) not in listed
    )
    navigation.append({"API": ["api/index.md", *(path for path in _reference() if path != "api/index.md")]})
    project = [*others, *(name for name in STARTS[1:] if (ROOT / name).is_file())]
    sources = [links.place(path) for path in sorted(_outside()) if "/" in path]
    navigation.append({"More": [*project, {"Files": sources}]})
    config["nav"] = navigation
    return config


def on_files(files: Files, *, config: Any) -> Files:
    """Add the pages that are not in docs/."""
    for path, text in _outside().items():
        files.append(File.generated(config, links.place(path), content=links.rewritten(ROOT, path, text)))
    for path, text in _reference().items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Files) -> str:
    """Turn links to files outside docs/ into links to their pages."""
    if page.file.generated_by is None:
        return links.rewritten(ROOT, f"docs/{page.file.src_uri}", markdown)
    return markdown


def _outside() -> dict[str, str]:
    starts = [name for name in STARTS if (ROOT / name).is_file()]
    return links.outside(ROOT, starts + [str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")])


def _reference() -> dict[str, str]:
    try:
        return api.pages(ROOT)
    except ValueError as error:
        raise PluginError(str(error)) from None
