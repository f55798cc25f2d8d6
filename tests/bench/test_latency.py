from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgerec.bench.latency import bench_table, run_bench
from edgerec.core.errors import FormatError, InputError, IntegrityError, OutputError


@pytest.mark.parametrize(
    ("what", "stages", "peers"),
    [
        ("step", {"hubsm_ie", "hubsm_ipv"}, {"onnxruntime", "onnxruntime_io_binding", "onnxruntime_device_graph"}),
        ("rerank", {"rerank"}, {"onnxruntime", "onnxruntime_device_graph"}),
    ],
)
def test_document(what: str, stages: set[str], peers: set[str], bundle_path: Path, tmp_path: Path) -> None:
    document = run_bench(what, bundle_path, peers=True, rounds=2, out=tmp_path / "bench.json")
    rows = {(row["stage"], row["name"]): row for row in document["results"]}
    assert set(rows) == {(stage, name) for stage in stages for name in {"mnn", "edgerec"} | peers}
    for row in rows.values():
        assert 0 < row["min_us"] <= row["p50_us"] <= row["p90_us"] <= row["p99_us"]
        assert row["n"] == sum(len(samples) for samples in row["samples_us"]) > 0
    assert {(row["stage"], row["peer"]) for row in document["ratios"]} == {(s, p) for s in stages for p in peers}
    assert json.loads((tmp_path / "bench.json").read_text()) == {"schema": 1, **json.loads(json.dumps(document))}
    assert bench_table(document).row_count == len(rows)


def test_without_peers_only_ours(bundle_path: Path) -> None:
    document = run_bench("rerank", bundle_path, rounds=1)
    assert [row["name"] for row in document["results"]] == ["mnn", "edgerec"]
    assert document["ratios"] == []


def test_bad_input(bundle_path: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="rounds"):
        run_bench("step", bundle_path, rounds=0)
    with pytest.raises(FormatError, match="bundle"):
        run_bench("step", tmp_path / "nothing")
    (tmp_path / "there.json").write_text("kept")
    with pytest.raises(OutputError, match="exists"):
        run_bench("step", bundle_path, out=tmp_path / "there.json")
    assert (tmp_path / "there.json").read_text() == "kept"


def test_a_peer_that_computes_something_else_is_no_peer(bundle_path: Path, tmp_path: Path) -> None:
    """The graphs of peers are stamped like everything else: a changed one is refused before it is measured."""
    import shutil

    copy = tmp_path / "bundle"
    shutil.copytree(bundle_path, copy)
    graph = copy / "golden" / "onnx" / "crban_reference.onnx"
    graph.write_bytes(graph.read_bytes()[:-1])
    with pytest.raises(IntegrityError, match="crban_reference"):
        run_bench("rerank", copy, peers=True, rounds=1)
