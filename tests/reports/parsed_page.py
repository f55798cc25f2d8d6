"""What tests read of a page."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any


class Page(HTMLParser):
    """The rows of the tables on a page, and the documents of its plots."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.elements: set[str] = set()
        self._cell = False
        self.feed(text)
        plots = text.split('<script type="application/json" id="plots">')[1].split("</script>")[0]
        self.plots: dict[str, Any] = json.loads(plots)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.update(value for name, value in attributes if name == "id" and value)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self._cell = True

    def handle_endtag(self, tag: str) -> None:
        self._cell = self._cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._cell:
            self.rows[-1][-1] += data


def body_of(text: str) -> str:
    """Return a page without its head, which has the library of the plots."""
    return text.split("<body>")[1]
