"""The pages of `edgerec abtest` and `edgerec loop`, opened in Chromium on a wide screen and on a phone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.reports.ab_test_documents import LONG, ab_test_document, loop_document
from tests.reports.opened_page import PHONE, WIDE, check_opened

NUMBER_OF_PLOTS = {"two": 3, "many": 5, "loop": 4}
"""Number of plots on each page."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def files(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    from edgerec.reports.ab_test.page import page
    from edgerec.reports.loop.page import page as loop_page

    folder = tmp_path_factory.mktemp("pages")
    many = ("cloud", "crban", LONG, f"{LONG}-2", *(f"<b>dnn_rank_{index}</b>" for index in range(8)))
    texts = {
        "two": page(ab_test_document(("cloud", "crban"))),
        "many": page(ab_test_document(many, design="split")),
        "loop": loop_page(loop_document()),
    }
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return {path.stem: path for path in folder.iterdir()}


@pytest.mark.parametrize(("width", "scheme"), [(WIDE, "light"), (PHONE, "dark")])
@pytest.mark.parametrize("name", list(NUMBER_OF_PLOTS))
def test_the_page_works_without_a_network(
    name: str, width: int, scheme: Any, browser: Any, files: dict[str, Path]
) -> None:
    assert len(check_opened(browser, files[name], width=width, scheme=scheme)) == NUMBER_OF_PLOTS[name]


def test_a_click_on_the_legend_shows_a_bucket(browser: Any, files: dict[str, Path]) -> None:
    page = browser.new_page(viewport={"width": WIDE, "height": 900})
    page.goto(files["many"].as_uri())
    page.wait_for_function("document.querySelectorAll('#positions-rates .scatterlayer .trace').length == 2")
    page.get_by_role("button", name="<b>dnn_rank_3</b>").click()
    page.wait_for_function("document.querySelectorAll('#positions-rates .scatterlayer .trace').length == 3")
    page.close()
