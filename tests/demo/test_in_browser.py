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
B = ".phone[data-bucket=B]"
NARROW, SMALL = {"width": 360, "height": 780}, {"width": 375, "height": 667}
TOGETHER = """() => {
  const real = window.fetch, held = [];
  window.fetch = async (url, options) => {
    const answer = await real(url, options), text = await answer.text();
    if (url === "/api/events") {
      await new Promise(go => { held.push(go); if (held.length === 2) held.forEach(one => one()); });
    }
    return new Response(text, { status: answer.status });
  };
}"""
"""Hold the answers to two reports until both are there."""
FOCUSED = "document.activeElement.closest('.card')?.dataset.item"


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


def test_a_reset_just_after_the_way_back_is_not_measured_as_a_tap(browser: Any, url: str) -> None:
    page = DrivenPage.open(browser, url)
    ready = page.page.evaluate("document.body.dataset.ready")
    page.page.locator(f'{B} .card[data-item="{page.in_view()[0]}"] .open').tap()
    page.page.evaluate(f"document.querySelector('{B} .back').click(); document.getElementById('reset').click()")
    page.wait_until(f"document.body.dataset.ready != '{ready}'")
    page.page.wait_for_timeout(300)
    assert page.page.evaluate(MEASURED) == []
    page.close()


def test_another_tab_ends_the_exposures_and_stops_the_clock_of_an_open_item(browser: Any, url: str) -> None:
    page = DrivenPage.open(browser, url)
    page.swipe(120)
    page.page.locator("[data-tab=A]").tap()
    ended: list[dict[str, Any]] = []
    for _ in range(100):  # The page waits for the answer to one report before it sends the next.
        page.page.wait_for_timeout(100)
        ended = [event for event in page.reported if event["what"] == "exposed" and event["bucket"] == "B"]
        if len(ended) >= 4:
            break
    assert len(ended) >= 4
    assert any(event["scrolls"] for event in ended)  # More than one if a busy machine pauses within the swipe.
    assert all(event["speed"] is not None and event["speed"] < 50 for event in ended)
    assert page.page.locator("#fault").is_hidden()

    item = page.in_view("A")[0]
    page.page.locator(f'.phone[data-bucket=A] .card[data-item="{item}"] .open').tap()
    page.page.locator("[data-tab=B]").tap()
    page.page.wait_for_timeout(3000)
    page.page.locator("[data-tab=A]").tap()
    page.page.locator(".phone[data-bucket=A] .back").tap()
    page.page.wait_for_timeout(300)
    left = next(event for event in page.reported if event["what"] == "left")
    assert left["item"] == item
    assert left["seconds"] < 3
    assert page.messages == []
    page.close()


def test_the_keyboard_reaches_only_what_can_be_seen_and_keeps_its_place(browser: Any, url: str) -> None:
    page = DrivenPage.open(browser, url, size=WIDE)
    first, second, third = page.in_view()[:3]
    page.page.locator(f'{B} .card[data-item="{second}"] .open').focus()
    page.page.keyboard.press("Enter")
    page.page.wait_for_selector(f"{B} .sheet:not([hidden])")
    title = page.page.locator(f'{B} .card[data-item="{second}"] b').text_content()
    assert page.page.locator(f"{B} .sheet").get_attribute("aria-label") == title
    for _ in range(20):
        page.page.keyboard.press("Shift+Tab")
        assert not page.page.evaluate(f"document.querySelector('{B} .feed').contains(document.activeElement)")
    page.page.locator(f"{B} .back").focus()
    page.page.keyboard.press("Escape")
    assert page.page.evaluate(FOCUSED) == second
    opened = [event["item"] for event in page.reported if event["what"] == "clicked"]
    assert opened == [second]

    page.page.locator(f'{B} .card[data-item="{first}"] .remove').focus()
    page.page.keyboard.press("Enter")
    page.page.wait_for_selector(f'{B} .card[data-item="{first}"]', state="detached")
    assert page.page.evaluate(FOCUSED) == second
    assert third in page.order()
    page.close()


def test_the_end_of_the_page_reports_the_open_item(browser: Any, url: str) -> None:
    page = DrivenPage.open(browser, url)
    page.page.locator(f'{B} .card[data-item="{page.in_view()[0]}"] .open').tap()
    page.page.wait_for_selector(f"{B} .sheet:not([hidden])")

    def again() -> None:
        page.page.reload()
        page.page.wait_for_selector("body[data-ready]")

    page.repeat(again, until="document.getElementById('why').textContent == 'You came back from an item'")
    page.close()


def test_late_answers_move_no_seen_card_and_hide_no_newer_re_rank(browser: Any, url: str) -> None:
    page = DrivenPage.open(browser, url)
    held: list[Any] = []
    page.page.route("**/api/looked-at", lambda route: held.append(route) if not held else route.continue_())
    first, second = page.in_view()[:2]
    page.visit(first)
    page.repeat(lambda: page.page.wait_for_timeout(50), until=f"{MEASURED}.length == 1")
    page.page.wait_for_timeout(800)
    assert len(held) == 1
    answer = held[0].fetch()
    page.visit(second)
    page.page.wait_for_timeout(1500)
    newer = page.page.locator("#looked").inner_html()
    held[0].fulfill(response=answer)
    page.page.wait_for_timeout(300)
    assert page.page.locator("#looked").inner_html() == newer

    calls: list[Any] = []
    page.page.route("**/api/events", lambda route: calls.append(route))
    page.visit(second, actions=0)
    page.swipe(420)
    page.page.wait_for_timeout(500)
    before, seen = page.order(), page.in_view()
    place = max(map(before.index, seen)) + 1
    page.page.unroute("**/api/events")
    for route in calls:
        route.continue_()
    page.wait_until(f"{MEASURED}.length == 3")
    assert page.order()[:place] == before[:place]
    assert page.order() != before
    page.close()


def test_back_of_the_browser_closes_an_open_item_and_then_leaves(browser: Any, url: str) -> None:
    page = DrivenPage.open(browser, url)
    first, second = page.in_view()[:2]
    depth = page.page.evaluate("history.length")
    for item in (first, second):
        page.page.locator(f'{B} .card[data-item="{item}"] .open').tap()
        page.page.wait_for_selector(f"{B} .sheet:not([hidden])")
        page.page.go_back()
        page.page.wait_for_selector(f"{B} .sheet", state="hidden")
        assert page.page.evaluate(FOCUSED) == item
    page.wait_until(f"{MEASURED}.length == 2")
    # The button takes its entry out of the history, so one step back leaves the demo.
    for item in (first, second, first):
        page.visit(item, actions=0)
    page.wait_until("history.state === null")
    assert page.page.evaluate("history.length") == depth + 1
    left = [event["item"] for event in page.reported if event["what"] == "left"]
    assert left[:4] == [first, second, first, second]
    page.page.go_back()
    assert page.page.url == "about:blank"
    assert page.messages == []
    page.close()


def test_two_steps_back_at_once_close_the_items_of_both_feeds(browser: Any, url: str) -> None:
    page = DrivenPage.open(browser, url, size=WIDE)
    for bucket in "AB":
        page.page.locator(f'.phone[data-bucket={bucket}] .card[data-item="{page.in_view(bucket)[0]}"] .open').click()
    page.wait_until("history.state?.depth === 2")
    page.page.evaluate("history.go(-2)")
    page.wait_until("history.state === null")
    page.wait_until("!document.querySelector('.sheet:not([hidden])')")
    assert page.page.evaluate("history.state") is None
    assert page.messages == []
    page.close()


def test_feeds_that_find_the_end_of_their_user_together_begin_one_session(browser: Any, url: str) -> None:
    page = DrivenPage.open(browser, url, size=WIDE)
    page.page.wait_for_timeout(300)  # The reports of the first cards are answered.
    ready = page.page.evaluate("document.body.dataset.ready")
    headers = {"Origin": url.rstrip("/")}
    for _ in range(8):
        assert page.page.request.post(f"{url}api/session", data={"session": None}, headers=headers).ok
    begun: list[str] = []
    page.page.on("request", lambda request: begun.append(request.url) if "/api/session" in request.url else None)
    page.page.evaluate(TOGETHER)
    for bucket in "AB":
        page.page.locator(f'.phone[data-bucket={bucket}] .card[data-item="{page.in_view(bucket)[0]}"] .open').click()
    page.wait_until(f"document.body.dataset.ready != '{ready}'")
    page.page.wait_for_timeout(300)
    assert begun == [f"{url}api/session"]
    page.close()


def test_a_page_whose_user_was_ended_says_so(browser: Any, url: str) -> None:
    page = DrivenPage.open(browser, url)
    ready = page.page.evaluate("document.body.dataset.ready")
    for _ in range(16):  # A call of the page among them makes its session the newest again.
        headers = {"Origin": url.rstrip("/")}
        assert page.page.request.post(f"{url}api/session", data={"session": None}, headers=headers).ok
    page.page.locator(f'{B} .card[data-item="{page.in_view()[0]}"] .open').tap()
    page.wait_until(f"document.body.dataset.ready != '{ready}'")
    page.wait_until("!document.getElementById('notice').hidden")
    assert "new user" in page.page.locator("#notice").text_content()
    assert page.page.locator(f"{B} .sheet:not([hidden])").count() == 0
    page.close()


def test_the_page_works_without_the_storage_of_the_browser(browser: Any, url: str) -> None:
    blocked = (
        "Object.defineProperty(window, 'sessionStorage', {get() { throw new DOMException('', 'SecurityError'); }})"
    )
    context = browser.new_context(viewport=PHONE)
    context.add_init_script(blocked)
    page = context.new_page()
    page.goto(url)
    page.wait_for_selector("body[data-ready]")
    assert page.locator(f"{B} .card").count() > 4
    assert page.locator("#fault").is_hidden()
    context.close()


@pytest.mark.parametrize("size", [NARROW, SMALL, PHONE, WIDE])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_the_screen(browser: Any, url: str, size: dict[str, int], scheme: str) -> None:
    page = DrivenPage.open(browser, url, size=size, color_scheme=scheme)
    wide = page.page.evaluate(
        "[...document.querySelectorAll('body *')].filter(one => one.getBoundingClientRect().right > innerWidth + 1"
        " && !one.closest('.next')).length"
    )
    assert wide == 0
    assert page.page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    assert page.page.locator(".phone:visible").count() == (2 if size is WIDE else 1)
    page.close()
