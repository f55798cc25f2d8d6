"""Build the documentation as a site, and check what a reader gets.

    python -m tests.proof.site [--out FOLDER] [--pictures FOLDER]

The build is strict: a warning ends it. Then every link and every anchor of each page must exist in the site. No page
may load a script, a style, a font or a picture from another server, and no list or table of Markdown may be left as
plain text. At last Chromium opens two pages over HTTP, wide and as on a phone: nothing is written to its console,
nothing is asked of another server, and no page is wider than the screen. The exit code is 1 if something is wrong, or
if Chromium is not installed.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

from edgerec.core.console import log

ROOT = Path(__file__).parents[2]
SHOWN = ("index.html", "api/the-device.html")
SCREENS = {"wide": (1300, 900), "phone": (390, 844)}
VOID = frozenset({"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"})
"""Tags that have no end."""
LOADS = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}


class Page(HTMLParser):
    """The links, anchors, loaded files and paragraphs of one page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors = {""}
        self.paragraphs = [""]
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values.get("id", ""), values.get("name", "")}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if (found := values.get(LOADS.get(tag, ""))) and values.get("rel") != "canonical":
            self.loads.append(found)
        self.paragraphs += [""] if tag == "p" else []
        self._open += [] if tag in VOID else [tag]

    def handle_endtag(self, tag: str) -> None:
        while tag in self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "p" in self._open and not {"pre", "code"} & set(self._open):
            self.paragraphs[-1] += data


def faults_of(site: Path) -> tuple[list[str], dict[str, int]]:
    """Return the faults of all pages, and how many pages, links and loaded files there are."""
    pages = {path.relative_to(site).as_posix(): Page(path.read_text("utf-8")) for path in site.rglob("*.html")}
    faults = []
    links = loads = 0
    for name, page in pages.items():
        for link in page.links:
            if urlsplit(link).scheme or name == "404.html":
                continue
            links += 1
            target, anchor = urldefrag(unquote(urljoin(name, link)))
            if target not in pages and not (site / target).is_file():
                faults.append(f"{name} links to {link}, which is not in the site")
            elif target in pages and anchor not in pages[target].anchors:
                faults.append(f"{name} links to {link}, but the page has no such anchor")
        for load in page.loads:
            loads += 1
            if urlsplit(load).netloc:
                faults.append(f"{name} loads {load} from another server")
        for text in page.paragraphs:
            faults += [
                f"{name} has a list or a table that is not rendered: {line[:60]!r}"
                for line in text.splitlines()[1:]
                if re.match(r"\s*([-*] |\|)", line)
            ]
    for style in site.rglob("*.css"):
        urls = re.findall(r"url\([\"']?((?:https?:)?//[^)]+)", style.read_text("utf-8"))
        faults += [f"{style.name} loads {url}" for url in urls]
    return faults, {"pages": len(pages), "links": links, "loads": loads}


@contextlib.contextmanager
def served(site: Path) -> Iterator[str]:
    """Serve the folder on a free loopback port and yield its address."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def browser_faults(site: Path, pictures: Path | None) -> list[str]:
    """Open pages in Chromium and return what is wrong with them."""
    from playwright.sync_api import sync_playwright

    faults: list[str] = []
    with served(site) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for screen, (width, height) in SCREENS.items():
            for name in SHOWN:
                page = browser.new_page(viewport={"width": width, "height": height})
                picture = pictures / f"{Path(name).stem}-{screen}.png" if pictures else None
                found = _faults_of_page(page, f"{url}/{name}", width, picture)
                faults += [f"{name}, {screen}: {fault}" for fault in found]
                page.close()
        browser.close()
    return faults


def _faults_of_page(page: Any, url: str, width: int, picture: Path | None) -> list[str]:
    """Open a page, write its picture, and search for a word that is surely in the site."""
    from playwright.sync_api import TimeoutError as TooLong

    faults: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: faults.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(url, wait_until="networkidle")
    wide = page.evaluate("document.documentElement.scrollWidth")
    if wide > width:
        faults.append(f"the page is {wide} pixels wide")
    if picture:
        picture.parent.mkdir(exist_ok=True)
        page.screenshot(path=picture)
    page.locator("label.md-header__button[for=__search]").dispatch_event("click")
    page.locator("input.md-search__input").fill("BehaviourStore")
    try:
        page.wait_for_selector(".md-search-result__item", state="attached", timeout=60_000)
    except TooLong:
        faults.append("the search finds nothing")
    host = urlsplit(url).netloc
    faults += [f"asks {other}" for other in asked if urlsplit(other).netloc not in (host, "")]
    return faults


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.proof.site", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="keep the site in this folder")
    parser.add_argument("--pictures", type=Path, help="write screenshots to this folder")
    options = parser.parse_args()
    with TemporaryDirectory(prefix="edgerec-site-") as folder:
        site = (options.out or Path(folder) / "site").resolve()
        if subprocess.call([ROOT / "scripts" / "docs", "--quiet", "--site-dir", site]):
            log("site: the build failed")
            return 1
        faults, counts = faults_of(site)
        if shutil.which("chromium"):
            faults += browser_faults(site, options.pictures)
        else:
            faults.append("no page was opened, because Chromium is not installed (apt-get install chromium)")
    for fault in faults:
        log(f"site: {fault}")
    log(f"site: {counts['pages']} pages, {counts['links']} links, {counts['loads']} loaded files, {len(faults)} faults")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
