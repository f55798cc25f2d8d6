"""A document from outside is read, compared and shown, or refused with one error line."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgerec.bench.compare.rank_tests import mann_whitney, signed_rank
from edgerec.bench.compare.verdict import compare
from edgerec.bench.document import read_bench_document
from edgerec.bench.report_documents import read_report_document
from edgerec.core.errors import FormatError, InputError
from edgerec.reports.bench.markdown import markdown
from tests.reports.bench_documents import bench_document, bench_row, replay_document

VALUES: list[Any] = [
    *(None, True, -1, 0, 1, 2**63, 10**400, 1e308, -1e308, 5e-324, float("nan"), float("inf")),
    *("", "\ud800", "<b>\x1b[31m|`", [], [[]], [0.0], {}, {"x": float("nan")}, {"x": 10**400}),
]


def page(documents: list[Any]) -> str:
    pytest.importorskip("plotly")
    from edgerec.reports.bench.page import page

    return page(documents)


def full_document() -> dict[str, Any]:
    """Return a document with all parts, whose first row has enough processes for a comparison."""
    document = bench_document()
    for each in document["results"]:
        each.update(n=2, processes=[1], samples_us=[each["samples_us"][0][:2]], quantiles_us=[])
    samples = np.random.default_rng(3).lognormal(2, 0.1, (6, 2, 3)).tolist()
    document["results"][0] = bench_row("hubsm_ie", "mnn", samples).model_dump(mode="json")
    return document


def mutated(document: Any, rng: np.random.Generator) -> None:
    """Replace, remove or repeat one random value inside `document`."""
    inside = document
    while True:
        keys = list(inside) if isinstance(inside, dict) else list(range(len(inside)))
        key = keys[rng.integers(len(keys))]
        if not (isinstance(inside[key], list | dict) and inside[key]) or rng.random() < 0.15:
            break
        inside = inside[key]
    choice = rng.random()
    if choice < 0.1:
        del inside[key]
    elif choice < 0.2 and isinstance(inside, list):
        inside.append(copy.deepcopy(inside[key]))
    else:
        inside[key] = copy.deepcopy(VALUES[rng.integers(len(VALUES))])


def test_a_changed_document_is_used_or_refused(tmp_path: Path) -> None:
    use_changed_documents(tmp_path, seed=7, mutations=150, used_of_a_page=10)


def use_changed_documents(folder: Path, *, seed: int, mutations: int, used_of_a_page: int) -> None:
    """Read, compare and show `mutations` documents. One of `used_of_a_page` documents that can be read gets a page."""
    rng, original = np.random.default_rng(seed), full_document()
    texts = [json.dumps(each) for each in (replay_document(), original)]
    path, whole = folder / "changed.json", folder / "whole.json"
    whole.write_text(json.dumps(original))
    unchanged, used = read_bench_document(whole), 0
    for number in range(mutations):
        changed = json.loads(texts[number % 10 > 0])
        for _ in range(rng.integers(1, 3)):
            mutated(changed, rng)
        path.write_text(json.dumps(changed))
        try:
            shown = read_report_document(path)
            markdown([shown, original]).encode()
            json.dumps(shown, allow_nan=False)
            used += 1
            if used % used_of_a_page == 0:  # a page takes longer than all others together
                assert "NaN" not in page([shown, original]).split('id="plots">')[1].split("</script>")[0]
            json.dumps(compare(unchanged, read_bench_document(path)), allow_nan=False)
        except (FormatError, InputError):
            continue
    assert mutations / 10 < used < mutations


Change = Callable[[dict[str, Any]], Any]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda row: row.update(samples_us=[]), "processes should add up to the rounds; received 12 and 0"),
        (lambda row: row.update(samples_us=[[]] * 12), "samples_us.0 should not be empty"),
        (lambda row: row["samples_us"][0].__setitem__(0, 0.0), "samples_us.0.0 should be above"),
        (lambda row: row["samples_us"][0].__setitem__(0, 1e308), "samples_us.0.0 should be at most"),
        (lambda row: row.update(processes=[-1, 13]), "processes.0 should be at least 1"),
        (lambda row: row.update(processes=[10**400]), "processes.0 should be"),
        (lambda row: row.update(processes=[1] * 1001), "processes should have at most 1000 values"),
        (lambda row: row.update(processes=[5, 5]), "processes should add up to the rounds; received 10 and 12"),
        (lambda row: row.update(n=3), "n should be the number of samples; received 3 and 36"),
        (lambda row: row.update(parameters={"length": 10**400}), "parameters.length"),
        (lambda row: row.update(parameters={"length": float("nan")}), "parameters.length"),
    ],
)
def test_a_faulty_row_is_named(change: Change, message: str, tmp_path: Path) -> None:
    document = full_document()
    change(document["results"][0])
    assert_refused(document, message, tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda document: document["environment"].update(memory_bytes="much"), "environment.memory_bytes should be"),
        (lambda document: document["environment"].update(load_start=float("nan")), "environment.load_start should be"),
        (lambda document: document["size"][0].update(bytes=10**400), "size.0.bytes should be"),
        (lambda document: document["operations"][0].update(commands=2**63), "operations.0.commands should be at most"),
        (lambda document: document["settings"].update(threads=10**400), "settings.threads should be"),
        (lambda document: document.update(sizes={"candidates": 10**400}), "sizes.candidates should be"),
    ],
)
def test_a_faulty_part_is_named(change: Change, message: str, tmp_path: Path) -> None:
    document = full_document()
    change(document)
    assert_refused(document, message, tmp_path)


def assert_refused(document: dict[str, Any], message: str, folder: Path) -> None:
    (folder / "faulty.json").write_text(json.dumps(document))
    with pytest.raises(FormatError, match=re.escape(message)) as error:
        read_report_document(folder / "faulty.json")
    assert len(str(error.value)) < 300 + len(str(folder))
    assert str(error.value).endswith(": measure again")


def test_a_thousand_processes_take_little_time() -> None:
    """The exact distribution would take a thousand times as long."""
    values = np.random.default_rng(1).normal(0.5, 1.0, 1000)
    assert max(signed_rank(values).p, mann_whitney(values[:400] - 0.5, values[400:]).p) < 1e-6


def test_a_document_of_bench_cloud_has_no_report(tmp_path: Path) -> None:
    path = tmp_path / "cloud.json"
    path.write_text(json.dumps({"schema": 1, "plan": {"rounds": 3}, "results": [], "parts": []}))
    for read in (read_bench_document, read_report_document):
        with pytest.raises(FormatError, match="is a document of `edgerec bench cloud`, which has no report"):
            read(path)
