"""The Python code of docs/cloud.md works as it stands there."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from edgerec.data.logs import load_logs
from edgerec.paging.page import PageRequest
from tests.cloud.batches import batches_of
from tests.synthetic import make_logs_with_context

PAGE = Path(__file__).parents[2] / "docs" / "cloud.md"


def test_the_examples_serve_a_recall_of_a_team_s_own(
    logs: Path, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(logs, tmp_path / "logs")
    shutil.copytree(bundle, tmp_path / "bundle")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert len(blocks) == 5
    names: dict[str, Any] = {"uvicorn": None}
    run = []
    monkeypatch.setattr("uvicorn.run", lambda app, port: run.append((app.title, port)))
    for block in blocks:
        exec("from __future__ import annotations\nimport polars as pl\n" + block, names)
    assert run == [("EdgeRec cloud", 8008)]
    page = names["service"].page(PageRequest(1, 2, "v1", 4, (100, 102)))
    assert page.items.item_id.tolist() == [101, 103, 104, 105]
    assert page.items.columns["score"][0] == 1
    assert names["combined"].page(PageRequest(1, 2, "v1", 4)).items.columns["score"][0] == 100
    batches = list(batches_of(make_logs_with_context(users=1, requests=2)))
    for batch in batches:
        names["writer"].submit(batch).result(10)
    names["writer"].close()
    assert len(load_logs(tmp_path / "device_logs").requests) == 2
