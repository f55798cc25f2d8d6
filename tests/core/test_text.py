from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from edgerec.cli.output import emit, table_of
from edgerec.core.atomic import json_bytes
from edgerec.core.console import log
from edgerec.core.documents import parse_document
from edgerec.core.errors import FormatError, InputError
from edgerec.core.text import check_utf8, format_value, printable, shown
from edgerec.core.text_fields import Name, PathText, Value

RED = "\x1b[31m"
ANY_CHARACTER = st.characters(codec=None, categories=None)
"""Any character, surrogates included."""


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("plain [red] é 商品 \u3000 👩\u200d💻", "plain [red] é 商品 \u3000 👩\u200d💻"),
        (f"a{RED}b", "a\\x1b[31mb"),
        ("logs\udcff", "logs\\udcff"),
        ("a\u202eb\u2066c", "a\\u202eb\\u2066c"),
        ("a\x00\x7f\x9b", "a\\x00\\x7f\\x9b"),
    ],
)
def test_unsafe_characters_are_escaped(text: str, safe: str) -> None:
    assert shown(text) == safe
    assert shown(shown(text)) == shown(text)
    assert printable(f"one\n\ttwo {text}") == " ".join(f"one two {safe}".split())


@given(st.text(ANY_CHARACTER))
def test_escaped_text_is_one_line_of_utf8(text: str) -> None:
    for one in (shown(text), printable(text)):
        assert len(one.encode().splitlines()) <= 1
        assert "\x1b" not in one


@given(st.text(ANY_CHARACTER))
def test_any_text_is_kept_in_json(text: str) -> None:
    assert json.loads(json_bytes({"path": text}))["path"] == text


class _Document(BaseModel):
    format: int
    name: Name = ""
    names: dict[Name, Name] = {}
    value: Value = ""
    path: PathText = ""


def _parse(**fields: Any) -> _Document:
    content = json.dumps({"format": 1, **fields}).encode()
    return parse_document(content, path=Path("head.json"), model=_Document, what="thing", format_number=1)


@pytest.mark.parametrize("text", ["\ud800", f"{RED}red", "a\u202eb", "two\nlines", "x" * 257])
def test_names_with_unsafe_characters_are_refused(text: str) -> None:
    for fields in ({"name": text}, {"names": {text: "a"}}, {"names": {"a": text}}):
        with pytest.raises(FormatError) as caught:
            _parse(**fields)
        assert printable(str(caught.value)) == str(caught.value)


def test_values_may_be_any_unicode_and_paths_may_be_any_bytes() -> None:
    assert _parse(name="日本 é", value="\x1b", path="logs\udcff").path == "logs\udcff"
    for fields in ({"value": "\ud800"}, {"value": "x" * 5000}, {"path": "x" * 5000}):
        with pytest.raises(FormatError):
            _parse(**fields)
    with pytest.raises(ValidationError):
        _Document(format=1, value=3)  # type: ignore[arg-type]


def test_a_path_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    check_utf8(tmp_path / "é", what="logs")
    with pytest.raises(InputError, match=r"logs: the path .*/logs\\udcff should be UTF-8"):
        check_utf8(tmp_path / os.fsdecode(b"logs\xff"), what="logs")


def test_no_escape_sequence_reaches_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    unsafe = f"{RED}\ud800[bold]\u202e"
    emit({"version": unsafe}, as_json=False)
    emit({}, as_json=False, table=table_of(("", unsafe), [(unsafe, unsafe)]))
    emit({"version": unsafe}, as_json=True)
    log(f"work on {unsafe}\nand on")
    out, err = capsys.readouterr()
    for text in (out, err):
        assert "\x1b" not in text
        assert "\u202e" not in text
        text.encode()
    assert "\\x1b[31m\\ud800[bold]\\u202e" in out
    assert err == "work on \\x1b[31m\\ud800[bold]\\u202e and on\n"


def test_all_errors_of_a_command_are_escaped() -> None:
    script = (
        "import click\n"
        "from edgerec.cli.command import run\n"
        "from edgerec.core.errors import InputError\n"
        "@click.command()\n"
        "@click.argument('how')\n"
        "@click.option('--number', type=int)\n"
        "def command(how, number):\n"
        "    if how == 'memory': raise MemoryError\n"
        "    raise {'error': InputError, 'bug': RuntimeError}[how]('a\\x1b[31m\\ud800b\\nand')\n"
        "run(command)\n"
    )

    def run(*arguments: str) -> tuple[int, str]:
        done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)
        assert "\x1b" not in done.stderr
        return done.returncode, done.stderr

    assert run("error") == (1, "edgerec: a\\x1b[31m\\ud800b and\n")
    code, message = run("bug")
    assert (code, message.splitlines()[-1][:32]) == (1, "edgerec: this is a bug in EdgeRe")
    code, message = run("error", "--number", RED)
    assert code == 2
    assert "\\x1b[31m" in message
    code, message = run("memory")
    assert code == 1
    assert message.startswith("edgerec: there is not enough memory")
    assert message.count("\n") == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1234567, "1,234,567"),
        (True, "yes"),
        (None, "None"),
        (0.0, "0.0000"),
        (0.12345, "0.1235"),
        (1e-5, "1e-05"),
        (123456.0, "1.23e+05"),
        (-0.5, "-0.5000"),
        ("[red]", "[red]"),
    ],
)
def test_format_value_formats_values_for_people(value: object, text: str) -> None:
    assert format_value(value) == text
