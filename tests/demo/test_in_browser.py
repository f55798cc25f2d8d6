"""The page of `edgerec demo` in Chromium at phone width, with a real server, real taps and a real scroll."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgerec.cloud.server_process import running_server
from tests.demo.driven_page import MEASURED, PHONE, WIDE, DrivenPage
from tests.reports.conftest import browser

__all__ = ["browser"]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def url(small_world_path: Path) -> Iterator[str]:
    """Run the command. At its end, it must have stopped as it should."""
    parts = [str(small_world_path / "bundle"), "--catalogue", str(small_world_path / "logs")]
    with running_server(["edgerec", "demo", *parts, "--no-browser", "--port", "0", "--json"]) as url:
        yield url


def test_a_tap_and_ten_exposures_change_the_order_of_b(browser: Any, url: str) -> None:
    page = DrivenPage.open(browser, url)
    before, seen = page.order(), page.in_view()
    page.visit(seen[1])
    page.wait_until(f"{MEASURED}.length == 1")
    tapped = page.order()
    assert tapped[: len(seen)] == before[: len(seen)]
    assert tapped != before

    page.repeat(lambda: page.swipe(300), until=f"document.getElementById('count').textContent != '{page.reranks()}'")
    assert page.top() > 0
    assert page.page.locator("#why").text_content() == "You saw 10 cards and opened none"
    assert page.order() != tapped
    page.page.wait_for_selector("#looked .seen", state="attached")
    assert "looked at the details" in page.page.locator("#looked").text_content()
    assert (page.messages, page.beyond) == ([], [])
    page.close()


def test_a_long_press_and_the_cross_remove_a_card(browser: Any, url: str) -> None:
    page = DrivenPage.open(browser, url)
    first, second = page.in_view()[:2]
    page.page.locator(f'.phone[data-bucket=B] .card[data-item="{first}"] .remove').tap()
    page.page.wait_for_selector(f'.phone[data-bucket=B] .card[data-item="{first}"]', state="detached")
    assert page.page.locator("#why").text_content() == "You removed a card"
    box = page.page.locator(f'.phone[data-bucket=B] .card[data-item="{second}"]').bounding_box()
    point = {"x": box["x"] + 40, "y": box["y"] + 60}
    session = page.page.context.new_cdp_session(page.page)
    session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [point]})
    page.page.wait_for_selector(f'.phone[data-bucket=B] .card[data-item="{second}"]', state="detached")
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert page.page.locator(".sheet:not([hidden])").count() == 0
    assert first in page.order("A")
    assert page.messages == []
    page.close()


def test_a_reset_begins_with_a_new_user(browser: Any, url: str) -> None:
    page = DrivenPage.open(browser, url)
    ready = page.page.evaluate("document.body.dataset.ready")
    page.visit(page.in_view()[0])
    page.wait_until(f"{MEASURED}.length == 1")
    page.page.locator("#reset").tap()
    page.wait_until(f"document.body.dataset.ready != '{ready}'")
    assert page.reranks() == 1
    assert page.messages == []
    page.close()


@pytest.mark.parametrize("size", [PHONE, WIDE])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_the_screen(browser: Any, url: str, size: dict[str, int], scheme: str) -> None:
    page = DrivenPage.open(browser, url, size=size, color_scheme=scheme)
    wide = page.page.evaluate(
        "[...document.querySelectorAll('body *')].filter(one => one.getBoundingClientRect().right > innerWidth + 1"
        " && !one.closest('.next')).length"
    )
    assert wide == 0
    assert page.page.locator(".phone:visible").count() == (1 if size is PHONE else 2)
    page.close()
