"""How `scripts/prove docs` runs the commands of the docs at a small size: what runs.toml says."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.docs_commands.pages import Command

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = Path(__file__).with_name("runs.toml")


@dataclass(frozen=True)
class Excepted:
    """Commands of a page that cannot run, and why. `command` is the beginning of their text."""

    page: str
    command: str
    why: str

    def holds_for(self, command: Command) -> bool:
        return command.page == self.page and command.text.startswith(self.command)


@dataclass(frozen=True)
class Plan:
    """The tables of runs.toml.

    Attributes:
        shorter: pattern of a command -> arguments that are appended to it.
        environment: variables that make a command shorter.
        given: file or folder that the docs take as given -> command that makes it.
        names: name of the docs -> name in `given`.
        before: page -> commands that run before those of the page.
        values: word of the docs that stands for a value -> command that prints the value.
        excepted: commands that are not run.
    """

    shorter: dict[str, str]
    environment: dict[str, str]
    given: dict[str, str]
    names: dict[str, str]
    before: dict[str, list[str]]
    values: dict[str, str]
    excepted: list[Excepted]

    def appended(self, command: str) -> str:
        """Return the arguments that make a command shorter."""
        return next((more for pattern, more in self._patterns if pattern.search(command)), "")

    @cached_property
    def _patterns(self) -> list[tuple[re.Pattern[str], str]]:
        return [(re.compile(pattern), more) for pattern, more in self.shorter.items()]

    def why_not(self, command: Command) -> str | None:
        """Return why a command is not run, or None if it is run."""
        return next((each.why for each in self.excepted if each.holds_for(command)), None)


def read_plan() -> Plan:
    """Read runs.toml."""
    tables = tomllib.loads(FILE.read_text(encoding="utf-8"))
    return Plan(**{**tables, "excepted": [Excepted(**each) for each in tables["excepted"]]})
