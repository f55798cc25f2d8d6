"""Pictures of results: `edgerec picture`, and the pictures of README."""

from __future__ import annotations

import copy
import json
import runpy
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgerec.core.errors import EdgeRecError, FormatError
from edgerec.reports.pictures.ab_test import ab_test_picture
from edgerec.reports.pictures.bench import bars_of, bench_picture
from edgerec.reports.pictures.documents import AbTest, Bench, read_result
from edgerec.reports.pictures.svg import WIDTH, Drawing
from tests.command_line import document, edgerec_here, error_line

ROOT = Path(__file__).resolve().parents[2]
RESULTS = sorted((ROOT / "docs" / "results").glob("*.json"))
SVG = "{http://www.w3.org/2000/svg}"
BENCH: dict[str, Any] = {
    "kind": "bench",
    "model": "crban",
    "environment": {
        "processor": "A <b>&",
        "machine": "x86_64",
        "versions": {"MNN": "3.6.1"},
        "date": "2026-01-02T03:04",
    },
    "sizes": {"candidates": 100, "exposures": 100, "page_views": 50},
    "results": [
        {"stage": stage, "name": name, "parameters": {}, "p50_us": p50, "p99_us": 2 * p50}
        for stage, name, p50 in [
            ("hubsm_ie", "mnn", 6.0),
            ("hubsm_ie", "onnxruntime", 30.0),
            ("hubsm_ie", "onnxruntime_io_binding", 24.0),
            ("rerank", "mnn", 500.0),
            ("rerank", "mnn_default_export", 3000.0),
        ]
    ],
    "ratios": [
        {"stage": "hubsm_ie", "peer": "onnxruntime_io_binding", "parameters": {}, "median": 0.25},
        {"stage": "rerank", "peer": "mnn_default_export", "parameters": {}, "median": 0.2},
    ],
}
AB_TEST: dict[str, Any] = {
    "kind": "ab_test",
    "design": "paired",
    "users": 300,
    "primary": "click",
    "positions": {
        name: [
            {"from": 1, "to": 5, "exposures": 900, "rate": rate, "ci95": [rate - 0.01, rate + 0.01]},
            {"from": 6, "to": None, "exposures": 800, "rate": 0.05, "ci95": None},
            {"from": 90, "to": 99, "exposures": 1, "rate": 1.0, "ci95": [0.0, 1.0]},
        ]
        for name, rate in (("cloud", 0.1), ("crban", 0.2))
    },
    "uplift": {"click": {"mean": 0.1, "ci95": [0.05, 0.15], "paper": 0.0887}, "pv": {"mean": None, "ci95": None}},
}


def texts(svg: str) -> list[str]:
    return ["".join(text.itertext()) for text in ET.fromstring(svg).iter(f"{SVG}text")]


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_the_pictures_of_readme_are_those_of_the_kept_results(path: Path, tmp_path: Path) -> None:
    done = document(edgerec_here("picture", path, "--out", tmp_path / "made.svg", "--json"))
    kept = (ROOT / "docs" / "pictures" / f"{path.stem}.svg").read_bytes()
    assert (tmp_path / "made.svg").read_bytes() == kept, "run scripts/keep_results, and look at the picture"
    assert done["bytes"] == len(kept)
    assert f"(docs/pictures/{path.stem}.svg)" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_readme_has_two_pictures() -> None:
    assert [path.stem for path in RESULTS] == ["ab-test", "bench"]


def test_a_picture_of_a_measurement_names_engines_times_and_ratios() -> None:
    svg = bench_picture(Bench.model_validate(BENCH))
    found = texts(svg)
    assert {"MNN, by EdgeRec", "ONNX Runtime", "6.0 µs (12 µs)", "24 µs (48 µs)", "500 µs (1.0 ms)", "× 4"} <= set(
        found
    )
    assert "× 5" in found
    assert any("A <b>&" in text for text in found)
    assert "<b>" not in svg


@pytest.mark.parametrize(
    ("stages", "headline"),
    [
        (["hubsm_ie", "hubsm_ipv"], "6.0 µs to encode a behaviour"),
        (["rerank"], "500 µs to re-rank a list"),
        (["hubsm_ie", "hubsm_ipv", "rerank"], "6.0 µs to encode a behaviour, 500 µs to re-rank a list"),
    ],
)
def test_the_headline_of_a_measurement_says_what_was_measured(stages: list[str], headline: str) -> None:
    bench = copy.deepcopy(BENCH)
    bench["results"].append({**bench["results"][0], "stage": "hubsm_ipv", "p50_us": 9.0})
    bench["results"] = [row for row in bench["results"] if row["stage"] in stages]
    assert headline in texts(bench_picture(Bench.model_validate(bench)))


def test_the_fastest_form_of_an_engine_counts_and_mnn_is_first() -> None:
    bars = bars_of(Bench.model_validate(BENCH), "hubsm_ie")
    assert [(bar.engine, bar.p50_us) for bar in bars] == [("MNN, by EdgeRec", 6.0), ("ONNX Runtime", 24.0)]
    assert [bar.ratio for bar in bars] == [None, 4.0]


def test_a_picture_of_a_test_shows_rates_and_uplifts() -> None:
    svg = ab_test_picture(AbTest.model_validate(AB_TEST))
    found = texts(svg)
    assert "EdgeRec raised clicks by 10.0 % (95 %: 5.0 to 15.0 %)" in found
    assert {"CLICK", "+10.0 % (+5.0 to +15.0)", "with EdgeRec (crban)", "without EdgeRec"} <= set(found)
    # Two lines with two points each: the positions with one exposure are left out, and PV was not measured.
    lines = [line.get("points", "").split() for line in ET.fromstring(svg).iter(f"{SVG}polyline")]
    assert list(map(len, lines)) == [2, 2]
    # A higher rate is higher up.
    assert float(lines[1][0].split(",")[1]) < float(lines[0][0].split(",")[1])
    assert "PV" not in found


def test_the_control_is_first_whatever_the_name_of_the_treatment(tmp_path: Path) -> None:
    named = {"cloud": AB_TEST["positions"]["cloud"], "a": AB_TEST["positions"]["crban"]}
    result, kept = tmp_path / "result.json", tmp_path / "kept.json"
    result.write_text(json.dumps({**AB_TEST, "positions": named}))
    keep_results = runpy.run_path(str(ROOT / "scripts" / "keep_results"))
    keep_results["keep"](result, kept, tmp_path / "kept.svg")
    assert list(json.loads(kept.read_text())["positions"]) == ["cloud", "a"]
    for order in (["cloud", "a"], ["a", "cloud"]):
        document = {**AB_TEST, "positions": {name: named[name] for name in order}}
        assert ab_test_picture(AbTest.model_validate(document)) == (tmp_path / "kept.svg").read_text()
    assert "with EdgeRec (a)" in texts((tmp_path / "kept.svg").read_text())


def test_pictures_fit_light_and_dark_pages_and_load_nothing() -> None:
    for svg in (ab_test_picture(AbTest.model_validate(AB_TEST)), bench_picture(Bench.model_validate(BENCH))):
        assert "@media (prefers-color-scheme: dark)" in svg
        names = {element.tag.removeprefix(SVG) for element in ET.fromstring(svg).iter()}
        assert names <= {"svg", "title", "style", "rect", "text", "line", "polyline", "circle"}
        assert svg.count("http") == svg.count("url(") + 1 == 1


@given(st.text(), st.text())
def test_text_from_outside_stays_text(first: str, second: str) -> None:
    drawing = Drawing(100, first)
    drawing.text(1, 2, second)
    found = ET.fromstring(drawing.to_svg())
    assert [element.tag.removeprefix(SVG) for element in found] == ["title", "style", "rect", "text"]


@given(st.floats(1e-3, 1e9), st.floats(1, 1e6), st.floats(-1, 1e5))
def test_any_value_has_a_picture_inside_its_bounds(time: float, factor: float, change: float) -> None:
    bench = copy.deepcopy(BENCH)
    bench["results"][1] |= {"p50_us": time, "p99_us": time * factor}
    test = copy.deepcopy(AB_TEST)
    test["uplift"]["click"] = {"mean": change, "ci95": [change - 1, change + factor / 2]}
    for svg in (bench_picture(Bench.model_validate(bench)), ab_test_picture(AbTest.model_validate(test))):
        for element in ET.fromstring(svg).iter():
            for name in ("x", "x1", "x2", "cx"):
                assert -0.1 <= float(element.get(name, "0")) <= WIDTH


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[1]", "received no JSON object"),
        ("{", "received no JSON object"),
        ('{"kind": "loop"}', "received the kind 'loop'"),
        (json.dumps({**AB_TEST, "users": -1}), "users should be at least 0"),
        (json.dumps({**AB_TEST, "positions": 3}), "positions should be an object"),
        (json.dumps({**BENCH, "results": [{"stage": "rerank"}]}), "results.0.name"),
    ],
)
def test_a_wrong_result_is_refused(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text(text)
    with pytest.raises(FormatError, match="picture: ") as caught:
        read_result(path)
    assert words in str(caught.value)


def test_a_measurement_without_a_step_and_a_rerank_is_refused() -> None:
    with pytest.raises(EdgeRecError, match="should have a step or a re-rank"):
        bench_picture(Bench.model_validate({**BENCH, "results": []}))


def test_only_pictures_are_replaced(tmp_path: Path) -> None:
    result, out = tmp_path / "result.json", tmp_path / "out.svg"
    result.write_text(json.dumps(BENCH))
    out.write_text("mine")
    assert "exists already" in error_line(edgerec_here("picture", result, "--out", out))
    assert "is no report of `edgerec picture`" in error_line(edgerec_here("picture", result, "--out", out, "--force"))
    out.unlink()
    for options in ([], ["--force"]):
        assert edgerec_here("picture", result, "--out", out, *options).returncode == 0
