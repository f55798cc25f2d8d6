"""The examples of docs/converters.md run in order and print the stated results."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "converters.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def test_the_examples_print_what_the_page_says(tmp_path: Path) -> None:
    code = "\n".join(BLOCKS)
    environment = {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    stated = re.findall(r"^ *print\(.*\)  # (.*)$", code, re.MULTILINE)
    assert done.stdout.splitlines() == stated
    assert len(stated) == code.count("print(") > 5


def test_all_names_in_the_table_exist() -> None:
    rows = re.findall(r"^\| (`.*?) \| `(edgerec[\w.]*)` \|", PAGE, re.MULTILINE)
    assert len(rows) > 5
    for names, module in rows:
        for name in re.findall(r"`(\w+)", names):
            assert hasattr(importlib.import_module(module), name), f"{module} has no {name}"
