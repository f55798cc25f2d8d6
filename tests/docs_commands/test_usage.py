"""Every command of the docs is one that EdgeRec accepts."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest

from tests.docs_commands.pages import COMMANDS, ROOT, SCRIPT, Command, blocks, commands, pages, split
from tests.docs_commands.usage import PROGRAMS, WrongUsageError, check, check_edgerec, check_mention

PAGES = pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
MADE = ("start/make_logs.py", "./run_bundle")
"""Files that commands of the docs write and later commands run."""
TYPED = re.compile(
    rf"^(?:\w+=\S+ )*(?:edgerec |python |scripts/|(?:{'|'.join(map(re.escape, PROGRAMS))}) -).*", re.MULTILINE
)
"""A line that looks as if a reader should type it."""


@PAGES
def test_every_command_is_accepted(page: Path) -> None:
    faults = []
    for command in commands(page):
        try:
            check(command, MADE)
        except WrongUsageError as error:
            faults.append(f"{command}\n    {error}")
    assert not faults, "\n" + "\n".join(faults)


@PAGES
def test_commands_can_be_told_from_output(page: Path) -> None:
    for block in blocks(page):
        where = f"{block.page}:{block.line}"
        assert (block.label == SCRIPT) == block.text.startswith("#!"), f"{where}: a script file has the label bash"
        if block.label in ("", "text"):
            typed = TYPED.search(block.text)
            assert not typed, f"{where}: give a block of commands the label {COMMANDS}: {typed and typed[0]}"
        else:
            assert block.label in (COMMANDS, SCRIPT, "python", "toml", "json", "yaml", "kotlin"), where


@PAGES
def test_the_running_text_names_commands_and_options_that_exist(page: Path) -> None:
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    faults = []
    for mention in re.findall(r"`(edgerec [^`]+)`", text):
        try:
            check_mention(" ".join(mention.split()))
        except WrongUsageError as error:
            faults.append(str(error))
    faults += [name for name in re.findall(r"`(scripts/[\w-]+)", text) if not (ROOT / name).exists()]
    known = extras()
    faults += [name for names in re.findall(r"\.\[([\w,]+)\]", text) for name in names.split(",") if name not in known]
    assert not faults


def extras() -> list[str]:
    """Return the extras that `pip install` knows."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    return list(setup["options.extras_require"])


def test_a_text_is_split_into_commands() -> None:
    text = "a 'b # c' && d --e=\"f && g\"   # h\n\n# i\nj \\\n  k   # l && m\nn#o\n"
    assert list(split(text)) == [(0, "a 'b # c'"), (0, 'd --e="f && g"'), (3, "j k"), (5, "n#o")]
    assert list(split("a # b")) == [(0, "a")]
    assert Command("", 1, "A=1 B=x edgerec stats logs >> out").words == ["edgerec", "stats", "logs"]


@pytest.mark.parametrize(
    "arguments",
    ["train", "trian s --out r", "bench", "bench rerank b --round 3", "bench rerank b --rounds x", "simulate --out"],
)
def test_a_wrong_command_is_found(arguments: str) -> None:
    with pytest.raises(WrongUsageError):
        check_edgerec(arguments.split())


@pytest.mark.parametrize(
    "text", ["python examples/none.py", "scripts/none", "pyhton x.py", "python -m tests.none", "./none"]
)
def test_a_wrong_file_is_found(text: str) -> None:
    with pytest.raises(WrongUsageError):
        check(Command("page", 1, text))


def test_a_wrong_mention_is_found() -> None:
    check_mention("edgerec bench --peers")
    check_mention("edgerec samples LOGS --like RUN")
    for text in ("edgerec train --epoch 3", "edgerec bench versions", "edgerec bench --like"):
        with pytest.raises(WrongUsageError):
            check_mention(text)
