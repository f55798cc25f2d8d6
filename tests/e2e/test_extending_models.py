"""Other packages add models and peers. The examples of docs/extending.md run without changes."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgerec import TrainConfig, open_samples, train
from edgerec.bundle.manifest_file import read_bundle_manifest
from edgerec.core.errors import PluginError
from edgerec.layers.encoder import Encoder
from edgerec.layers.settings import ModelSettings
from edgerec.rankers.registry import MIXED_MODELS, MODELS, Model, find_model, model_names
from tests.bench.in_this_process import bench_here
from tests.bundle.restamp import restamp
from tests.command_line import document, edgerec_here, error_line

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"


def install(title: str, folder: Path) -> Path:
    """Write the package of a section of the page into `folder`, as `pip install` would. Return its `entry_points.txt`.

    On the page, the text before each block of code has the name of its file.
    """
    section = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert section
    for name, code in re.findall(r"`(\w+\.py)`[^`]*```python\n(.*?)```", section[1], re.DOTALL):
        (folder / name).write_text(code)
    points = re.search(r'```toml\n\[project\.entry-points\."([\w.]+)"\]\n(\w+) = "(.*?)"\n```', section[1])
    assert points
    group, name, value = points.groups()
    information = folder / f"{name}-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(f"[{group}]\n{name} = {value}\n")
    return information / "entry_points.txt"


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return an empty folder that is on the import path, for installed packages."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    for name in [name for name, module in sys.modules.items() if str(folder) in str(getattr(module, "__file__", ""))]:
        del sys.modules[name]


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(
    ("title", "model", "files"),
    [
        pytest.param("Add a model", "linear_rank", ["crban"], marks=pytest.mark.slow),
        ("Add a model that reads behaviours", "taste_rank", ["crban", "hubsm_ie"]),
    ],
)
def test_a_model_of_another_package_is_trained_exported_and_verified(
    title: str, model: str, files: list[str], site: Path, samples_path: Path, tmp_path: Path
) -> None:
    install(title, site)
    assert model_names() == [*MODELS, *MIXED_MODELS, model]
    run, bundle = tmp_path / "run", tmp_path / "bundle"
    # In CRBAN, keys of 16 numbers with values of 1 number would have to be positive.
    (tmp_path / "c.toml").write_text("compiled = false\nepochs = 1\nbatch_size = 64\nunits = 16\nlayers = 1\n")
    train = ["train", samples_path, "--config", tmp_path / "c.toml", "--model", model, "--out", run, "--json"]
    assert document(edgerec_here(*train))["parameters"] > 0
    exported = document(edgerec_here("export", run, "--requests", "20", "--out", bundle, "--json"))
    assert exported["parity_max_abs"] < 1e-4
    assert document(edgerec_here("verify", bundle, "--json"))["golden_cases"] > 1
    manifest = read_bundle_manifest(bundle)
    assert manifest.config["model"] == model
    assert sorted(manifest.models) == files


BROKEN_MODELS = {
    ("linear_rank", "rank", 'raise ValueError("no rank\\nand more")'): r"rank failed \(ValueError: no rank\): repair",
    ("linear_rank", "call", "return candidates + scored[..., None, None]"): r"rank failed \(InvalidArgumentError: ",
    ("linear_rank", "rank", "return [1.0]"): r"rank should return a logit .* of shape \(\d+, 1\); received list$",
    (
        "linear_rank",
        "rank",
        "return inputs.candidates[..., 0]",
    ): r"rank should .* shape \((\d+), 1\); received float32 \(\1, \d+\)$",
    ("linear_rank", "build", "self.weight = self.nothing"): r"build failed \(AttributeError: .*'nothing'",
    ("linear_rank", "create", "return cls(units=3)"): r"create failed \(\w+: ",
    ("linear_rank", "create", "return 3"): r"create should return a LinearRank; received int$",
    ("taste_rank", "call", "return fused"): r"rank should return a logit .*; received float32 \(\d+, \d+, \d+\)$",
}
"""What the error says, by the model, a method, and the only line of that method."""


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(("model", "method", "line"), BROKEN_MODELS)
def test_the_error_of_a_broken_ranker_is_one_line_that_names_class_and_method(
    model: str, method: str, line: str, site: Path, samples_path: Path, tmp_path: Path
) -> None:
    install("Add a model" if model == "linear_rank" else "Add a model that reads behaviours", site)
    path = site / f"{model}.py"
    header = rf"    def {method}\(.*\):\n"
    code, count = re.subn(header, lambda found: f"{found[0]}        {line}\n", path.read_text())
    assert count == 1
    path.write_text(code)
    class_name = {"linear_rank": "LinearRank", "taste_rank": "TasteRank"}[model]
    refused = error_line(
        edgerec_here("train", samples_path, "--model", model, "--epochs", "1", "--out", tmp_path / "run")
    )
    assert re.search(rf"{model}\.{class_name}\.{BROKEN_MODELS[model, method, line]}", refused)
    assert not (tmp_path / "run").exists()


def test_the_error_of_a_ranker_keeps_its_cause(site: Path, samples_path: Path, tmp_path: Path) -> None:
    """Without the fixture `eager`, so that the training step is traced."""
    install("Add a model", site)
    path = site / "linear_rank.py"
    # The layer fails only in graphs.
    path.write_text(path.read_text().replace("scored):\n", "scored):\n        float(scored[0, 0])\n"))
    config = TrainConfig(model="linear_rank", epochs=1, compiled=False)
    with pytest.raises(PluginError, match=r"^linear_rank\.LinearRank\.rank failed \(\w*Error: .*\): repair") as error:
        train(open_samples(samples_path), config, tmp_path / "run")
    assert type(error.value.__cause__).__name__ in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_the_error_of_an_operation_names_the_class_and_the_line(site: Path, samples_path: Path, tmp_path: Path) -> None:
    """The operation is added to the graph without an error, and it fails when the graph runs."""
    install("Add a model", site)
    path = site / "linear_rank.py"
    check = "tf.debugging.check_numerics(candidates / (0.0 if tf.inside_function() else 1.0), 'odd')"
    code = path.read_text().replace("scored):\n", f"scored):\n        {check}\n")
    path.write_text(f"import tensorflow as tf\n{code}")
    number = 1 + next(index for index, line in enumerate(path.read_text().splitlines()) if "check_numerics" in line)
    config = TrainConfig(model="linear_rank", epochs=1, compiled=False)
    said = (
        rf"^linear_rank\.LinearRank failed in a graph \(.*linear_rank\.py, line {number}: InvalidArgumentError: odd : "
    )
    with pytest.raises(PluginError, match=said) as error:
        train(open_samples(samples_path), config, tmp_path / "run")
    assert type(error.value.__cause__).__name__ == "InvalidArgumentError"
    assert len(str(error.value).splitlines()) == 1


def test_the_package_of_the_page_has_the_files_of_the_first_example(site: Path) -> None:
    install("Add a model", site)
    block = re.search(r"^## The package\n.*?```toml\n(.*?)```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert block
    assert set(re.findall(r'"(\w+)"', block[1].partition("py-modules")[2])) == {path.stem for path in site.glob("*.py")}


def test_the_error_of_an_unknown_model_lists_all_models(samples_path: Path, tmp_path: Path) -> None:
    assert "there is no model 'nope'; there are: dnn_rank, dlcm" in error_line(
        edgerec_here("train", samples_path, "--model", "nope", "--out", tmp_path / "run")
    )


def test_an_entry_point_that_is_not_a_model_is_refused(site: Path) -> None:
    install("Add a model", site).write_text("[edgerec.models]\nlinear_rank = linear_rank:LinearRank\n")
    with pytest.raises(PluginError, match=r"should be an .*Model; received .*linear_rank.LinearRank"):
        find_model("linear_rank")


def test_a_ranker_or_an_encoder_that_does_not_fit_is_an_error(site: Path) -> None:
    (site / "odd.py").write_text("class NoRanker: pass")
    with pytest.raises(PluginError, match=r"odd:NoRanker should be a subclass of .*\.Ranker; received"):
        Model("odd:NoRanker", "").ranker_class()
    with pytest.raises(PluginError, match=r"odd:NoRanker should be a subclass of .*\.Encoder; received"):
        Model("odd:NoRanker", "", encoder="odd:NoRanker").encoder_class()
    with pytest.raises(PluginError, match=r"odd:Missing cannot be imported \(AttributeError"):
        Model("odd:Missing", "").ranker_class()


def test_the_error_of_an_encoder_without_a_method_names_the_method() -> None:
    class Empty(Encoder):
        pass

    settings = ModelSettings(
        units=2,
        layers=1,
        gain=1.0,
        behaviour_kinds=(),
        item_width=3,
        candidate_width=3,
        number_columns=(),
        identities=1,
    )
    calls = {
        "create": lambda: Empty.create(settings, name="hubsm_ie"),
        "build": lambda: Empty().build((None, None, 2), (None, None, 3)),
        "call": lambda: Empty().call(None, None),
        "device_weights": lambda: Empty().device_weights(),
    }
    for method, call in calls.items():
        with pytest.raises(PluginError, match=rf"Empty should define `{method}`"):
            call()


def test_an_encoder_without_a_method_is_refused_before_a_training(site: Path) -> None:
    methods = "create = classmethod(print); build = print; call = print"
    (site / "half.py").write_text(f"import edgerec.layers.encoder as base\nclass Half(base.Encoder): {methods}")
    with pytest.raises(PluginError, match=r"half\.Half should define `device_weights`"):
        Model("odd:NoRanker", "", encoder="half:Half").encoder_class()


def test_a_broken_model_is_listed_and_is_an_error_if_it_is_chosen(
    site: Path, samples_path: Path, tmp_path: Path
) -> None:
    install("Add a model", site).write_text("[edgerec.models]\nlinear_rank = no_such_module:MODEL\n")
    assert "linear_rank" in edgerec_here("train", "--help").stdout
    refused = error_line(edgerec_here("train", samples_path, "--model", "linear_rank", "--out", tmp_path / "run"))
    assert "no_such_module:MODEL cannot be imported (ModuleNotFoundError" in refused


def test_a_peer_of_another_package_is_measured(site: Path, bundle_path: Path) -> None:
    install("Add a peer", site)
    found = bench_here("rerank", bundle_path, peers=True, rounds=1)
    assert "onnxruntime_two_threads" in [row["peer"] for row in found["ratios"]]


BROKEN_PEERS = {
    "two_threads:BEHAVIOUR_KINDS": r"entry point 'two_threads' of edgerec\.peers should be a subclass of",
    "no_such_module:Peer": r"no_such_module:Peer cannot be imported \(ModuleNotFoundError",
    "broken_peers:NotMade": "ValueError: not made",
    "broken_peers:NotAsked": "ValueError: not asked",
    "broken_peers:Typo": "should contain step, rerank, sequence; received 'rerankk'",
    "broken_peers:Empty": "should define `step`, or leave it out of `measures`",
    "broken_peers:NotRun": "ValueError: not run",
    "broken_peers:NoArrays": "TypeError: ",
    "broken_peers:NamedMnn": "another implementation has the name 'mnn'",
    "broken_peers:NamedEdgerec": "another implementation has the name 'edgerec'",
}
"""The reason why a peer fails, by its entry point."""


# The last four fail in code that `step` and `rerank` do not share.
@pytest.mark.parametrize(
    ("value", "what"),
    [*((value, "rerank") for value in BROKEN_PEERS), *((value, "step") for value in [*BROKEN_PEERS][6:])],
)
def test_a_broken_peer_fails_and_the_others_are_measured(
    value: str, what: str, site: Path, bundle_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install("Add a peer", site).write_text(f"[edgerec.peers]\ntwo_threads = {value}\n")
    (site / "broken_peers.py").write_text(BROKEN)
    found = bench_here(what, bundle_path, peers=True, rounds=1)
    [failed] = found["failed"]
    assert failed["peer"] == "two_threads"
    assert re.search(BROKEN_PEERS[value], failed["reason"])
    assert f"peer two_threads failed: {failed['reason']}\n" in capsys.readouterr().err
    assert {"onnxruntime", "onnxruntime_device_graph"} <= {row["peer"] for row in found["ratios"]}
    assert "broken" not in {row["peer"] for row in found["ratios"]}


BROKEN = """
from edgerec.bench.peers.peer import Peer


class NotRun(Peer):
    def step(self, kind, case):
        return {"broken": self.run}

    def rerank(self, case):
        return {"broken": self.run}

    def run(self):
        raise ValueError("not run")


class NotMade(NotRun):
    def __init__(self, bundle):
        raise ValueError("not made\\nand more")


class NotAsked(NotRun):
    def missing(self):
        raise ValueError("not asked")


class NoArrays(NotRun):
    def run(self):
        return object()


class Empty(Peer):
    pass


class Typo(NotRun):
    measures = ("step", "rerankk")


class NamedMnn(Peer):
    implementation = "mnn"

    def step(self, kind, case):
        return {self.implementation: self.run}

    def rerank(self, case):
        return {self.implementation: self.run}

    def run(self):
        raise ValueError("not refused")


class NamedEdgerec(NamedMnn):
    implementation = "edgerec"


class Stored(Peer):
    distributions = ("numpy", "two_threads")

    def step(self, kind, case):
        return {"stored": lambda: None}

    def rerank(self, case):
        return {"stored": lambda: case.logits}
"""


@pytest.fixture
def without_reference_graphs(bundle_path: Path, tmp_path: Path) -> Path:
    """Return a bundle that, like those of other models than crban, has no reference graphs."""
    bundle = Path(shutil.copytree(bundle_path, tmp_path / "bundle"))
    for graph in (bundle / "golden" / "onnx").glob("*_reference.onnx"):
        graph.unlink()
    restamp(bundle)
    return bundle


def test_peers_that_need_no_reference_graphs_are_measured_on_any_bundle(
    site: Path, without_reference_graphs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install("Add a peer", site).write_text("[edgerec.peers]\ntwo_threads = broken_peers:Stored\n")
    (site / "broken_peers.py").write_text(BROKEN)
    found = bench_here("rerank", without_reference_graphs, peers=True, rounds=1)
    assert [row["peer"] for row in found["ratios"]] == ["onnxruntime_device_graph", "stored"]
    assert found["failed"] == []
    assert found["environment"]["versions"]["two_threads"] == "1.0"
    assert "peer onnxruntime is not measured: " in capsys.readouterr().err


def test_a_peer_with_fused_encodings_fails_if_there_are_no_reference_graphs(
    site: Path, without_reference_graphs: Path
) -> None:
    install("Add a peer", site).write_text("[edgerec.peers]\ntwo_threads = broken_peers:Stored\n")
    (site / "broken_peers.py").write_text(BROKEN)
    found = bench_here("step", without_reference_graphs, peers=True, rounds=1)
    [failed] = found["failed"]
    assert failed["peer"] == "two_threads"
    assert "has no reference graphs" in failed["reason"]
    assert {row["name"] for row in found["results"]} == {"mnn", "edgerec", "onnxruntime_device_graph"}


def test_a_model_with_a_name_of_edgerec_is_refused(site: Path) -> None:
    install("Add a model", site).write_text("[edgerec.models]\ncrban = linear_rank:MODEL\n")
    with pytest.raises(PluginError, match=r"'crban' of edgerec\.models: linear_rank:MODEL has a name that EdgeRec"):
        find_model("crban")
    assert find_model("dlcm") is MODELS["dlcm"]


def test_two_packages_with_the_same_name_of_a_model_are_refused(site: Path) -> None:
    points = install("Add a model", site)
    install("Add a peer", site).write_text(points.read_text().replace(":MODEL", ":OTHER"))
    with pytest.raises(PluginError, match=r"several packages have one .*linear_rank:MODEL, linear_rank:OTHER"):
        find_model("linear_rank")


def test_a_peer_with_a_name_of_edgerec_fails(site: Path, bundle_path: Path) -> None:
    install("Add a peer", site).write_text("[edgerec.peers]\nonnxruntime = two_threads:TwoThreads\n")
    found = bench_here("rerank", bundle_path, peers=True, rounds=1)
    [failed] = found["failed"]
    assert failed["peer"] == "onnxruntime"
    assert "two_threads:TwoThreads has a name that EdgeRec itself uses" in failed["reason"]
    assert [row["peer"] for row in found["ratios"]] == ["onnxruntime_device_graph"]
