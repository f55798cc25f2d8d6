from __future__ import annotations

from pathlib import Path

import pytest

from tests.proof.site import faults_of


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ("<p>A list:\n- one\n- two</p>", 2),
        ('<p>As <a href="index.html">this page</a> and <em>that</em> say,\n- one\n- two</p>', 2),
        ("<p>A <code>name</code>, <strong>then<br>\n| a | table |</strong></p>", 1),
        ("<p>A sum:\n<code>\n- 1\n- 2</code></p><pre>\n- output\n</pre>", 0),
        ("<ul>\n<li><p>one</p></li>\n</ul>\n- not in a paragraph", 0),
    ],
)
def test_a_list_that_is_not_rendered_is_found_behind_any_tag(tmp_path: Path, body: str, faults: int) -> None:
    (tmp_path / "index.html").write_text(f"<!doctype html><meta charset=utf-8><main>{body}</main>", "utf-8")
    found, counts = faults_of(tmp_path)
    assert [fault.partition(" has ")[2][:6] for fault in found] == ["a list"] * faults
    assert counts["pages"] == 1
