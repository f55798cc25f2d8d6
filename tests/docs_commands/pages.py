"""The pages for readers, their blocks of code, and the commands in these blocks.

A block with the label `sh` contains commands, as a reader types them. A block with the label `bash` is a script file.
All other blocks are output, code in other languages, or drawings.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMANDS, SCRIPT = "sh", "bash"
_FENCE = re.compile(r"^(?P<indent> *)```(?P<label>\S*)\n(?P<text>.*?)^ *```$", re.DOTALL | re.MULTILINE)
_ASSIGNMENT = re.compile(r"\w+=")
_REDIRECT = re.compile(r"\d?(>>?|<)")


@dataclass(frozen=True)
class Block:
    """A block of code on a page. `line` is the line of its first line of text, from 1."""

    page: str
    line: int
    label: str
    text: str


@dataclass(frozen=True)
class Command:
    """One command of a page: what stands between two `&&`, without its comment.

    Attributes:
        page: path of the page in the project.
        line: line of the page on which the command starts, from 1.
        text: the command for the shell, on one line.
    """

    page: str
    line: int
    text: str

    @property
    def words(self) -> list[str]:
        """The program and its arguments, without assignments before it and redirections after it."""
        words = shlex.split(self.text)
        while words and _ASSIGNMENT.match(words[0]):
            words.pop(0)
        end = next((place for place, word in enumerate(words) if _REDIRECT.match(word) or word == "|"), len(words))
        return words[:end]

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.text}"


def pages() -> list[Path]:
    """Return all pages for readers: README and CONTRIBUTING first, then docs and examples by name."""
    first = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    return [*first, *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "examples").rglob("*.md"))]


def blocks(page: Path) -> Iterator[Block]:
    """Yield the blocks of code of a page."""
    text, name = page.read_text(encoding="utf-8"), page.relative_to(ROOT).as_posix()
    for match in _FENCE.finditer(text):
        indent = len(match["indent"])
        lines = "".join(line[indent:] for line in match["text"].splitlines(keepends=True))
        yield Block(name, text.count("\n", 0, match.start()) + 2, match["label"], lines)


def commands(page: Path) -> list[Command]:
    """Return the commands of a page, in its order."""
    found = []
    for block in blocks(page):
        if block.label == COMMANDS:
            found += [Command(block.page, block.line + line, text) for line, text in split(block.text)]
    return found


def split(text: str) -> Iterator[tuple[int, str]]:
    r"""Yield the commands in a text for the shell, each with its line from 0.

    A command ends at the end of a line or at `&&`. Comments are dropped, and lines that end with ``\`` are joined.
    """
    text += "\n"
    command, quote, line, start, place = "", "", 0, 0, 0
    while place < len(text):
        letter = text[place]
        if not command.strip():
            start = line
        line += letter == "\n"
        if text.startswith("\\\n", place):
            line += 1
            place += 2
            continue
        if quote:
            quote = "" if letter == quote else quote
            command += letter
        elif letter == "#" and (not command or command[-1].isspace()):
            place = text.find("\n", place)
            continue
        elif letter == "\n" or text.startswith("&&", place):
            if command.strip():
                yield start, " ".join(command.split()) if "'" not in command and '"' not in command else command.strip()
            command = ""
            place += letter == "&"
        else:
            quote = letter if letter in "'\"" else ""
            command += letter
        place += 1
