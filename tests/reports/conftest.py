"""Chromium for the tests of pages."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    missing = []
    executable = shutil.which("chromium")
    if executable is None:
        missing.append("apt-get install chromium")
    for module, extra in (("playwright", "dev"), ("plotly", "train"), ("jinja2", "train")):
        if importlib.util.find_spec(module) is None:
            missing.append(f"pip install '.[{extra}]'")
    if missing:
        pytest.skip(f"a page cannot be opened: {' and '.join(dict.fromkeys(missing))}")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield browser
        browser.close()
