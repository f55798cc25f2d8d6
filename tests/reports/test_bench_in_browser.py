"""The page of `edgerec bench`, opened in Chromium on a wide screen and on a phone."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.reports.bench_documents import bench_document, replay_document

WIDE, PHONE = 1280, 375
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
# Returns the plots that are not drawn, and the elements that reach beyond the right edge outside of a box that scrolls.
STATE = """() => {
  const names = Object.keys(JSON.parse(document.getElementById("plots").textContent));
  const empty = names.filter(name => {
    const svg = document.querySelector(`#${CSS.escape(name)} .main-svg`);
    return !svg || svg.getBoundingClientRect().height < 100 || svg.getBoundingClientRect().width < 200;
  });
  const wide = [...document.querySelectorAll("body *")].filter(
    element => element.getBoundingClientRect().right > innerWidth + 1 && !element.closest(".wide, script, style"));
  const root = document.documentElement;
  return { names, empty, wide: wide.map(element => element.tagName + "." + element.className),
           scrolls: root.scrollWidth > root.clientWidth };
}"""

pytestmark = pytest.mark.slow


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


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    from edgerec.reports.bench.page import page

    one, other = bench_document(1), bench_document(2, processor="Another processor with a long name, 16 cores")
    folder = tmp_path_factory.mktemp("pages")
    for name, documents in (("one", [one]), ("several", [one, other, replay_document()])):
        (folder / f"{name}.html").write_text(page(documents), encoding="utf-8")
    return {path.stem: path for path in folder.iterdir()}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, PHONE])
@pytest.mark.parametrize("name", ["one", "several"])
def test_the_page_works_without_a_network(
    name: str, width: int, scheme: Any, browser: Any, files: dict[str, Path]
) -> None:
    messages: list[str] = []
    requests: list[str] = []
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(files[name].as_uri())
    page.wait_for_function("document.querySelectorAll('.js-plotly-plot .main-svg').length > 0")
    state = page.evaluate(STATE)
    page.close()
    assert messages == []
    assert requests == [files[name].as_uri()]
    assert len(state["names"]) > 10
    assert state["empty"] == []
    assert state["wide"] == []
    assert not state["scrolls"]
