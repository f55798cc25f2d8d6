"""Find the files of the repository that pages link to, and give each a place in the site.

Pages of docs/ keep their names. README.md becomes index.md. Files outside docs/ that a page links to become pages, too:
Markdown as it is, other text in a code block. A link to anything else is an error of the build.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from pathlib import Path

FENCE = re.compile(r"(^ *```.*?^ *```[^\n]*$)", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(?<=\]\()(?!https?:|mailto:|#)([^)#\s]+)(#[^)\s]*)?(?=\))")
LANGUAGES = {
    ".cfg": "ini",
    ".json": "json",
    ".py": "python",
    ".sh": "bash",
    ".toml": "toml",
    ".cpp": "cpp",
    ".hpp": "cpp",
}


def place(path: str) -> str:
    """Return the path in the site for a file of the repository, such as ``docs/device.md``."""
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    if path == "README.md":
        return "index.md"
    return path if path.endswith(".md") and "/" not in path else f"repository/{path.removesuffix('.md')}.md"


def outside(root: Path, pages: list[str]) -> dict[str, str]:
    """Return the Markdown of each file outside docs/ that `pages` or these files link to, by its path.

    Args:
        root: the repository.
        pages: paths of pages in the repository from which links are followed.
    """
    found: dict[str, str] = {}
    waiting = list(pages)
    seen = set(waiting)
    while waiting:
        path = waiting.pop()
        text = (root / path).read_text(encoding="utf-8")
        if not path.startswith("docs/"):
            found[path] = text if path.endswith(".md") else _as_page(path, text)
        if path.endswith(".md"):
            for target in _targets(root, path, text) - seen:
                seen.add(target)
                waiting += [target] if not target.startswith("docs/") else []
    return found


def rewritten(root: Path, path: str, text: str) -> str:
    """Return the text of the page `path` of the repository, with links that are right in the site."""
    here = posixpath.dirname(place(path))

    def link(match: re.Match[str]) -> str:
        target = _target(root, path, match[1])
        if target is None:
            return match[0]
        return posixpath.relpath(place(target), here or ".") + (match[2] or "")

    return _outside_code(text, lambda part: LINK.sub(link, part))


def _targets(root: Path, path: str, text: str) -> set[str]:
    links = {match[1] for part in FENCE.split(text)[::2] for match in LINK.finditer(part)}
    return {target for link in links if (target := _target(root, path, link))}


def _target(root: Path, path: str, link: str) -> str | None:
    """Return the path in the repository of a relative link. None if there is no such file: the build then warns."""
    target = posixpath.normpath(posixpath.join(posixpath.dirname(path), link))
    if (root / target).is_dir() and (root / target / "README.md").is_file():
        target = f"{target}/README.md"
    return target if (root / target).is_file() else None


def _as_page(path: str, text: str) -> str:
    return f"# {posixpath.basename(path)}\n\n`{path}`\n\n````{LANGUAGES.get(Path(path).suffix, '')}\n{text}````\n"


def _outside_code(text: str, change: Callable[[str], str]) -> str:
    """Change the parts of a page that are not in fenced code."""
    parts = FENCE.split(text)
    return "".join(part if index % 2 else change(part) for index, part in enumerate(parts))
