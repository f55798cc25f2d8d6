"""The page of `edgerec explain`, opened in Chromium on a wide screen and on a phone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgerec.explanation.explain import explain
from tests.reports.conftest import browser
from tests.reports.opened_page import PHONE, STATE, WIDE

__all__ = ["browser"]

pytestmark = pytest.mark.slow

SHOWN = """() => ["exposure", "page_view"].map(kind => document.getElementById(`effects-${kind}`).data[0].z)"""


@pytest.fixture(scope="module")
def file(plus_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from edgerec.reports.explanation.page import page

    path = tmp_path_factory.mktemp("page") / "why.html"
    path.write_text(page(explain(plus_path / "bundle", logs=plus_path / "logs")), encoding="utf-8")
    return path


@pytest.mark.parametrize("width", [WIDE, PHONE])
def test_the_page_works_without_a_network(width: int, browser: Any, file: Path) -> None:
    messages: list[str] = []
    requests: list[str] = []
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(file.as_uri())
    page.wait_for_function("document.querySelectorAll('.js-plotly-plot .main-svg').length > 0")
    state, compared = page.evaluate(STATE), page.evaluate(SHOWN)
    page.click("button[data-view=score]")
    scores = page.evaluate(SHOWN)
    page.click("button[data-view=order]")
    again = page.evaluate(SHOWN)
    page.close()
    assert messages == []
    assert requests == [file.as_uri()]
    names = ["timeline", *(f"{what}-{kind}" for what in ("effects", "attention") for kind in ("exposure", "page_view"))]
    assert sorted(state["names"]) == sorted(names)
    assert state["empty"] == []
    assert state["wide"] == []
    assert not state["scrolls"]
    assert compared == again != scores
