from __future__ import annotations

import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgerec.cli import cli

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "cli.md"
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "update_docs"))


def section(name: str) -> str:
    """Return the section of a command in docs/cli.md."""
    match = re.search(rf"^#+ {re.escape(name)}\n(.*?)(?=^#+ |\Z)", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    assert match, f"docs/cli.md has no section {name!r}"
    return match[1]


def documented_keys(name: str) -> set[str]:
    """Return the keys of the first table in a command's section."""
    table = section(name).split("| key | value |\n", 1)[1].split("\n\n", 1)[0]
    return {key for line in table.splitlines()[1:] for key in re.findall(r"`([^`]+)`", line.split("|")[1])}


def test_help_texts_are_current() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == SCRIPT["updated"](page), "run .venv/bin/python scripts/update_docs"


def test_every_command_has_a_section() -> None:
    names = [name for name in SCRIPT["commands"]() if name != "edgerec"]
    assert "edgerec samples" in names
    assert "edgerec bench step" in names
    for name in names:
        assert f"<!-- help: {name} -->" in section(name)


def test_update_docs_names_a_command_without_a_section() -> None:
    page = PAGE.read_text(encoding="utf-8").replace("help: edgerec verify", "help: edgerec prove")
    with pytest.raises(SystemExit, match=r"'edgerec verify' has 0 places; there is no command 'edgerec prove'"):
        SCRIPT["updated"](page)


@pytest.mark.parametrize("name", ["edgerec", "edgerec samples", "edgerec bench rerank"])
def test_help_texts_do_not_depend_on_the_terminal_width(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    block = SCRIPT["help_block"](name)
    monkeypatch.setenv("COLUMNS", "43")
    assert SCRIPT["help_block"](name) == block
    assert max(map(len, block.splitlines())) <= SCRIPT["WIDTH"]


def test_the_docs_list_the_output_keys_of_simulate_and_samples(tmp_path: Path) -> None:
    logs, samples = str(tmp_path / "logs"), str(tmp_path / "samples")
    commands = {
        "edgerec simulate": ["simulate", "--out", logs, "--users", "5", "--items", "60", "--days", "3"],
        "edgerec samples": ["samples", logs, "--out", samples],
    }
    for name, arguments in commands.items():
        result = CliRunner().invoke(cli, [*arguments, "--json"], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        assert set(json.loads(result.stdout)) == {"schema", *documented_keys(name)}
    more = {"page_views", "exposures_per_second"}
    assert documented_keys("edgerec import ebnerd") | more == documented_keys("edgerec simulate")


def test_help_texts_import_no_large_package() -> None:
    code = (
        "import runpy, sys; runpy.run_path('scripts/update_docs'); "
        "print([name for name in ('tensorflow', 'polars', 'numpy', 'MNN', 'onnx') if name in sys.modules])"
    )
    process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "[]"
