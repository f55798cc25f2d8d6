"""Measure the page of `edgerec demo` at phone width: from a tap to the frame in which the cards begin to move.

    python -m tests.proof.demo [--out build/demo] [--taps 50] [--picture docs/pictures/demo.png] [--json]

`edgerec demo` serves the folder of `--out`, and makes it the first time. A user in Chromium opens items by real taps,
does something there, and goes back by a tap. The time is that from this tap to the frame in which the cards of bucket B
begin to move to their new places: the behaviour is recorded and encoded, the model re-ranks, the answer comes, and the
cards are laid out. Then they move for 0.42 s. Now and then the user scrolls. `--picture` also writes a picture of both
buckets for the README. The exit code is 1 if the page asked for anything beyond its own address, if the console had a
message, or if fewer than 90 % of the taps changed the order.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from edgerec.cli.output import emit, table_of
from edgerec.cloud.server_process import running_server
from edgerec.core.atomic import write_bytes
from edgerec.core.console import progress
from edgerec.core.statistics import percentiles
from tests.demo.driven_page import MEASURED, WIDE, DrivenPage
from tests.reports.conftest import FLAGS

SCROLL_EVERY = 2
"""Number of taps between two scrolls."""
MOST_USERS, VARIED = 40, 3
"""For the picture: how many users are tried, and the number of categories that are in view in each bucket."""
CATEGORIES = """Object.fromEntries([...document.querySelectorAll(".card")].map(
    card => [card.dataset.item, card.querySelector("small").textContent.split(" · ")[0]]))"""
CALLS = "performance.getEntriesByType('resource').filter(one => one.name.endsWith('/events')).map(one => one.duration)"


def measure(browser: Any, url: str, taps: int) -> dict[str, Any]:
    """Return the times of `taps` taps, and what the page did meanwhile."""
    page = DrivenPage.open(browser, url)
    changed = 0
    for number in progress(range(taps), what="taps", total=taps):
        before, items = page.order(), page.in_view()
        page.visit(items[number % len(items)], seconds=0.3, actions=number % 3)
        page.wait_until(f"{MEASURED}.length == {number + 1}")
        changed += page.order() != before
        page.page.wait_for_timeout(600)  # The animation and the panel.
        if number % SCROLL_EVERY == SCROLL_EVERY - 1:
            page.swipe(420)
            page.page.wait_for_timeout(300)
    times, calls, reranks = page.page.evaluate(MEASURED), page.page.evaluate(CALLS), page.reranks()
    device = [float(page.page.locator(f"#{name}").text_content()) for name in ("p50", "p99")]
    page.close()
    return {
        "taps": taps,
        "tap_to_order_ms": percentiles(np.array(times)),
        "call_ms": percentiles(np.array(calls)),
        "rerank_on_the_device_ms": {"p50": device[0], "p99": device[1]},
        "reranks": reranks,
        "changed_orders": changed,
        "requests_beyond": len(page.beyond),
        "console_messages": len(page.messages),
    }


def picture(browser: Any, url: str, path: Path) -> None:
    """Write a picture of both buckets, after the user has opened items of one rare category in each of them.

    It is of a user whose first cards are of several categories, so that a reader sees what moved.
    """
    page = DrivenPage.open(browser, url, size=WIDE)
    for _ in range(MOST_USERS):
        categories = page.page.evaluate(CATEGORIES)
        if all(len({categories[item] for item in page.in_view(bucket)}) >= VARIED for bucket in "AB"):
            break
        ready = page.page.evaluate("document.body.dataset.ready")
        page.page.locator("#reset").click()
        page.wait_until(f"document.body.dataset.ready != '{ready}'")
        page.page.wait_for_timeout(500)
    for bucket in "AB":
        items = page.in_view(bucket)
        count = Counter(categories[item] for item in items)
        rare = min(count, key=lambda name: (count[name] < 2, count[name]))
        for item in [each for each in items if categories[each] == rare][:2]:
            page.visit(item, bucket=bucket, seconds=2.5, actions=2)
            page.page.wait_for_timeout(900)
    page.page.locator(".phone[data-bucket=A] .feed").evaluate("feed => feed.scrollBy(0, 410)")
    page.page.locator(".phone[data-bucket=B] .feed").evaluate("feed => feed.scrollBy(0, 410)")
    page.page.mouse.move(640, 30)
    page.page.wait_for_timeout(1500)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, page.page.screenshot())
    page.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.proof.demo", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("build/demo"), help="folder of the demo (default: build/demo)")
    parser.add_argument("--taps", type=int, default=50, help="number of taps (default: 50)")
    parser.add_argument("--picture", type=Path, help="also write a picture to this PNG file")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    from playwright.sync_api import sync_playwright

    command = ["edgerec", "demo", "--out", str(options.out), "--port", "0", "--no-browser", "--json"]
    with running_server(command) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        document = measure(browser, url, options.taps)
        if options.picture is not None:
            picture(browser, url, options.picture)
        browser.close()
    times, calls, device = (document[name] for name in ("tap_to_order_ms", "call_ms", "rerank_on_the_device_ms"))
    rows = [
        ("taps", str(document["taps"])),
        ("tap to the frame in which cards begin to move, ms", f"{times['p50']:.0f} (p50), {times['p99']:.0f} (p99)"),
        ("a call of the page, with its events, ms", f"{calls['p50']:.0f} (p50), {calls['p99']:.0f} (p99)"),
        ("re-rank on the device, ms", f"{device['p50']:.1f} (p50), {device['p99']:.1f} (p99)"),
        ("re-ranks", str(document["reranks"])),
        ("taps that changed the order", str(document["changed_orders"])),
        ("requests beyond the demo's address", str(document["requests_beyond"])),
        ("console messages", str(document["console_messages"])),
    ]
    emit(document, as_json=options.json, table=table_of(("", ""), rows, title="demo", header=False))
    followed = document["changed_orders"] >= 0.9 * document["taps"]
    return int(not followed or document["requests_beyond"] > 0 or document["console_messages"] > 0)


if __name__ == "__main__":
    sys.exit(main())
