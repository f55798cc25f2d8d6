from __future__ import annotations

import pytest

from edgerec.reports.page import render


def test_unsafe_characters_are_escaped_in_a_page() -> None:
    pytest.importorskip("jinja2")
    pytest.importorskip("plotly")
    page = render("skeleton.html.jinja", title="<\x1b[31m\ud800>", definitions="docs", plots={"a": "</script>"})
    assert "<h1>&lt;\\x1b[31m\\ud800&gt;</h1>" in page
    assert '<script type="application/json" id="plots">{"a": "\\u003c/script>"}</script>' in page
