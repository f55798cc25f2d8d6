"""Check how the docs use a command: its name, its options, the type of each value, and the files that it names."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterator, Sequence

import click

from edgerec.cli import cli
from tests.docs_commands.pages import ROOT, Command

PROGRAMS = frozenset(
    ["cat", "cd", "curl", "dask", "g++", "git", "openssl", "pip", "sh", "spark-submit", "tar", "umask"]
)
"""Programs of others that the docs use. Add one here if the docs need it."""


OWN = ("import shop",)
"""Commands that a package of the reader adds (docs/extending.md)."""


class WrongUsageError(Exception):
    """A command of the docs that would be refused."""


def check(command: Command, made: Sequence[str] = ()) -> None:
    """Check a command of the docs. `made` has the files that earlier commands of the page write.

    Raises:
        WrongUsageError: the command would be refused.
    """
    name, *arguments = command.words
    if name == "edgerec":
        check_edgerec(arguments)
    elif name.startswith("scripts/"):
        if not os.access(ROOT / name, os.X_OK):
            raise WrongUsageError(f"{name} is no script of the project")
    elif name == "python":
        _check_python(arguments, made)
    elif name not in PROGRAMS and not (name.startswith("./") and name in made):
        raise WrongUsageError(f"{name} is unknown here: correct it, or add it to PROGRAMS in {__name__}")


def check_edgerec(arguments: Sequence[str]) -> None:
    """Parse the arguments of `edgerec` as the command line does, without running the command.

    Raises:
        WrongUsageError: there is no such command or option, an argument is missing, or a value has the wrong type.
    """
    found, rest = command_of(arguments)
    if isinstance(found, click.Group) and "--help" not in rest:
        raise WrongUsageError(f"a command is missing after {' '.join(arguments) or 'edgerec'}")
    try:
        found.make_context(found.name, rest, parent=_context())
    except click.exceptions.Exit:
        pass
    except click.ClickException as error:
        raise WrongUsageError(error.format_message()) from None


def command_of(arguments: Sequence[str]) -> tuple[click.Command, list[str]]:
    """Return the command that `arguments` name, and the arguments after its name.

    Raises:
        WrongUsageError: a group has no command of this name.
    """
    found: click.Command = cli
    rest = list(arguments)
    while isinstance(found, click.Group) and rest and not rest[0].startswith("-"):
        below = found.get_command(_context(), rest[0])
        if below is None:
            raise WrongUsageError(f"edgerec has no command {' '.join(arguments[: len(arguments) - len(rest) + 1])}")
        found = below
        rest.pop(0)
    return found, rest


def check_mention(text: str) -> None:
    """Check a command in the running text, such as `edgerec bench --peers`: its name and the names of its options.

    Arguments may be missing. Options of a group may be those of any of its commands.

    Raises:
        WrongUsageError: there is no such command or option.
    """
    words = text.split()[1:]
    if " ".join(words[:2]) in OWN:
        return
    named = words[: next((place for place, word in enumerate(words) if not re.fullmatch(r"[a-z-]+", word)), len(words))]
    found, _ = command_of(_longest(named))
    parameters = [
        each for command in _all(found) for each in command.get_params(click.Context(command, parent=_context()))
    ]
    known = {option for each in parameters for option in (*each.opts, *each.secondary_opts)}
    wrong = [option for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", text) if option not in known]
    if wrong:
        raise WrongUsageError(f"{text}: no option {', '.join(wrong)}")


def _context() -> click.Context:
    """Return the context of `edgerec`. Commands take its settings, such as the names of the option for help."""
    return click.Context(cli, info_name="edgerec", **cli.context_settings)


def _longest(words: Sequence[str]) -> Sequence[str]:
    """Return the words that can be names of commands: up to the first command that is no group."""
    for end in range(1, len(words) + 1):
        if not isinstance(command_of(words[:end])[0], click.Group):
            return words[:end]
    return words


def _all(command: click.Command) -> Iterator[click.Command]:
    yield command
    if isinstance(command, click.Group):
        for name in command.commands.values():
            yield from _all(name)


def _check_python(arguments: Sequence[str], made: Sequence[str]) -> None:
    first, *rest = arguments
    if first == "-m":
        if importlib.util.find_spec(rest[0]) is None:
            raise WrongUsageError(f"there is no module {rest[0]}")
    elif first == "-c":
        compile(rest[0], "-c", "exec")
    elif not (ROOT / first).is_file() and first not in made:
        raise WrongUsageError(f"there is no file {first}, and no command of the page writes it")
