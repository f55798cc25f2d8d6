"""Other packages add models: the example of docs/extending.md, from training to a verified bundle."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgerec.bundle.manifest_file import read_bundle_manifest
from edgerec.core.errors import ConfigurationError
from edgerec.rankers.registry import MODELS, find_model, model_names
from tests.command_line import document, edgerec_here, error_line

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package of the page's section 'Add a model', as `pip install` leaves it."""
    text = PAGE.read_text()
    section = text[text.index("## Add a model") :]
    layer, graph = re.findall(r"```python\n(.*?)```", section, re.DOTALL)[:2]
    (points,) = re.findall(r"```toml\n(.*?)```", section, re.DOTALL)[:1]
    site = tmp_path / "site"
    information = site / "linear_rank-1.0.dist-info"
    information.mkdir(parents=True)
    (site / "linear_rank.py").write_text(layer)
    (site / "linear_rank_graph.py").write_text(graph)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: linear_rank\nVersion: 1.0\n")
    group, line = points.strip().splitlines()
    assert group == '[project.entry-points."edgerec.models"]'
    (information / "entry_points.txt").write_text(f"[edgerec.models]\n{line.replace(chr(34), '')}\n")
    monkeypatch.syspath_prepend(str(site))
    return site


@pytest.mark.usefixtures("eager")
def test_a_model_of_another_package_is_trained_exported_and_verified(
    installed: Path, samples_path: Path, tmp_path: Path
) -> None:
    assert model_names() == [*MODELS, "linear_rank"]
    run, bundle = tmp_path / "run", tmp_path / "bundle"
    (tmp_path / "c.toml").write_text("compiled = false\nepochs = 1\nbatch_size = 64\n")
    train = ["train", samples_path, "--config", tmp_path / "c.toml", "--model", "linear_rank", "--out", run, "--json"]
    assert document(edgerec_here(*train))["parameters"] > 0
    exported = document(edgerec_here("export", run, "--requests", "20", "--out", bundle, "--json"))
    assert exported["parity_max_abs"] < 1e-4
    assert document(edgerec_here("verify", bundle, "--json"))["golden_cases"] > 1
    manifest = read_bundle_manifest(bundle)
    assert manifest.config["model"] == "linear_rank"
    assert list(manifest.models) == ["crban"]


def test_an_unknown_model_is_named_with_those_that_there_are(samples_path: Path, tmp_path: Path) -> None:
    assert "there is no model 'nope'; there are: dnn_rank, dlcm" in error_line(
        edgerec_here("train", samples_path, "--model", "nope", "--out", tmp_path / "run")
    )


def test_an_entry_point_that_is_not_a_model_is_refused(installed: Path) -> None:
    points = installed / "linear_rank-1.0.dist-info" / "entry_points.txt"
    points.write_text("[edgerec.models]\nlinear_rank = linear_rank:LinearRank\n")
    with pytest.raises(ConfigurationError, match=r"should be an .*Model; received .*linear_rank.LinearRank"):
        find_model("linear_rank")
