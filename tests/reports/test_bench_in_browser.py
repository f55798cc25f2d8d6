"""The page of `edgerec bench`, opened in Chromium on a wide screen and on a phone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.reports.bench_documents import bench_document, replay_document
from tests.reports.opened_page import PHONE, WIDE, check_opened

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    from edgerec.reports.bench.page import page

    one, other = bench_document(1), bench_document(2, processor="Another processor with a long name, 16 cores")
    folder = tmp_path_factory.mktemp("pages")
    for name, documents in (("one", [one]), ("several", [one, other, replay_document()])):
        (folder / f"{name}.html").write_text(page(documents), encoding="utf-8")
    return {path.stem: path for path in folder.iterdir()}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, PHONE])
@pytest.mark.parametrize("name", ["one", "several"])
def test_the_page_works_without_a_network(
    name: str, width: int, scheme: Any, browser: Any, files: dict[str, Path]
) -> None:
    assert len(check_opened(browser, files[name], width=width, scheme=scheme)) > 10
