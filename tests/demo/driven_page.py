"""The page of `edgerec demo` in Chromium, driven by real touches."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

PHONE = {"width": 390, "height": 844}
WIDE = {"width": 1280, "height": 800}
MEASURED = "performance.getEntriesByName('tap to new order').map(entry => entry.duration)"
STEPS = 12
MOST_S = 30.0
"""How long something may take."""
_IN_VIEW = """feed => {
  const box = feed.getBoundingClientRect();
  return [...feed.querySelectorAll(".card")].filter(card => {
    const { top, bottom } = card.getBoundingClientRect();
    return top >= box.top && bottom <= box.bottom;
  }).map(card => card.dataset.item);
}"""


@dataclass
class DrivenPage:
    """A page of the demo.

    Attributes:
        page: the page of Playwright.
        url: the URL of the demo.
        messages: what the console and uncaught exceptions said.
        beyond: requests to other addresses than that of the demo.
        reported: the events that the page reported, each with its bucket.
    """

    page: Any
    url: str
    messages: list[str] = field(default_factory=list)
    beyond: list[str] = field(default_factory=list)
    reported: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def open(cls, browser: Any, url: str, *, size: dict[str, int] = PHONE, **more: Any) -> DrivenPage:
        """Open the page in a context of its own, and wait for its first order."""
        touch = size is PHONE
        context = browser.new_context(viewport=size, has_touch=touch, is_mobile=touch, **more)
        opened = cls(context.new_page(), url)
        opened.page.on("console", lambda message: opened.messages.append(message.text))
        opened.page.on("pageerror", lambda error: opened.messages.append(str(error)))
        opened.page.on("request", lambda request: opened._note(request))
        opened.page.goto(url)
        opened.page.wait_for_selector("body[data-ready]")
        return opened

    def _note(self, request: Any) -> None:
        if not request.url.startswith(self.url):
            self.beyond.append(request.url)
        elif request.url.endswith("/api/events"):
            self.reported += [
                {"bucket": request.post_data_json["bucket"], **event} for event in request.post_data_json["events"]
            ]

    def order(self, bucket: str = "B") -> list[str]:
        """Return the items of a bucket in the order in which the page shows them."""
        selector = f".phone[data-bucket={bucket}] .card"
        found: list[str] = self.page.eval_on_selector_all(selector, "cards => cards.map(card => card.dataset.item)")
        return found

    def in_view(self, bucket: str = "B") -> list[str]:
        """Return the items that are completely in view."""
        found: list[str] = self.page.locator(f".phone[data-bucket={bucket}] .feed").evaluate(_IN_VIEW)
        return found

    def top(self, bucket: str = "B") -> float:
        """Return how far the feed was scrolled, in pixels."""
        found: float = self.page.locator(f".phone[data-bucket={bucket}] .feed").evaluate("feed => feed.scrollTop")
        return found

    def reranks(self) -> int:
        """Return how many re-ranks of B the panel counts."""
        return int(self.page.locator("#count").text_content().replace("–", "0"))

    def visit(self, item: str, *, bucket: str = "B", seconds: float = 0.0, actions: int = 1) -> None:
        """Open an item, do the first actions there, and go back to the feed."""
        phone = f".phone[data-bucket={bucket}]"
        self._press(f'{phone} .card[data-item="{item}"] .open')
        self.page.wait_for_selector(f"{phone} .sheet:not([hidden])")
        for number in range(actions):
            self._press(f"{phone} .sheet .actions button >> nth={number}")
        self.page.wait_for_timeout(seconds * 1000)
        self._press(f"{phone} .sheet .back")

    def swipe(self, distance: float, *, bucket: str = "B") -> None:
        """Scroll by a finger that moves up by `distance` pixels."""
        box = self.page.locator(f".phone[data-bucket={bucket}] .feed").bounding_box()
        x, y = box["x"] + 25, box["y"] + box["height"] - 20
        session = self.page.context.new_cdp_session(self.page)

        def touch(kind: str, *points: tuple[float, float]) -> None:
            places = [{"x": left, "y": top} for left, top in points]
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

        touch("touchStart", (x, y))
        for step in range(1, STEPS + 1):
            touch("touchMove", (x, y - distance * step / STEPS))
            self.page.wait_for_timeout(16)
        touch("touchEnd")
        session.detach()

    def wait_until(self, expression: str) -> None:
        """Wait until an expression of JavaScript is true. The page's policy forbids Playwright's own way (`eval`)."""
        self.repeat(lambda: self.page.wait_for_timeout(10), until=expression)

    def repeat(self, step: Callable[[], Any], *, until: str) -> None:
        """Do something until an expression of JavaScript is true."""
        end = time.monotonic() + MOST_S
        while not self.page.evaluate(until):
            assert time.monotonic() < end, f"after {MOST_S:.0f} s, this is not true: {until}"
            step()

    def close(self) -> None:
        """Close the page and its context."""
        self.page.context.close()

    def _press(self, selector: str) -> None:
        target = self.page.locator(selector)
        if self.page.viewport_size["width"] == PHONE["width"]:
            target.tap()
        else:
            target.click()
