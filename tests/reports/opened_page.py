"""Open a page in Chromium, and check that it works without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

WIDE, PHONE = 1280, 375
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


def check_opened(browser: Any, file: Path, *, width: int, scheme: Any) -> list[str]:
    """Open a page, and check that it draws its plots, fits, and asks for nothing. Return the names of its plots."""
    messages: list[str] = []
    requests: list[str] = []
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(file.as_uri())
    page.wait_for_function("document.querySelectorAll('.js-plotly-plot .main-svg').length > 0")
    state = page.evaluate(STATE)
    page.close()
    assert messages == []
    assert requests == [file.as_uri()]
    assert state["empty"] == []
    assert state["wide"] == []
    assert not state["scrolls"]
    names: list[str] = state["names"]
    return names
