"""Other packages add data sources and feature kinds. The examples of docs/extending.md make samples of a file."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from edgerec.core.errors import PluginError, SpecificationError
from edgerec.data.samples import TEST, open_samples
from edgerec.data.sources import find_source, source_help, source_names
from edgerec.features.spec import load_spec
from tests.command_line import document, edgerec_here, error_line

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"
MODULES = ("shop_source", "shop_features")


def section(title: str) -> str:
    return PAGE.read_text().split(f"## {title}\n")[1].split("\n## ")[0]


def block(text: str, language: str) -> str:
    match = re.search(rf"```{language}\n(.*?)```", text, re.DOTALL)
    assert match
    return match[1]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write the package of the page into a folder, as `pip install` would. Return the folder."""
    source, kind = section("Add a data source"), section("Add a feature kind")
    site = tmp_path / "site"
    information = site / "shop-1.0.dist-info"
    information.mkdir(parents=True)
    (site / "shop_source.py").write_text(block(source, "python"))
    (site / "shop_source.json").write_text(block(source, "json"))
    (site / "shop_features.py").write_text(block(kind, "python"))
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: shop\nVersion: 1.0\n")
    points = block(source, "toml") + block(kind, "toml")
    points = re.sub(r'\[project\.entry-points\."(.*)"\]', r"[\1]", points).replace('"', "")
    (information / "entry_points.txt").write_text(points)
    monkeypatch.syspath_prepend(str(site))
    for module in MODULES:
        monkeypatch.delitem(sys.modules, module, raising=False)
    return site


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Write a CSV file with data of four users. Each user has six visits, and each visit shows three items."""
    folder = tmp_path / "shop"
    folder.mkdir()
    rows = [(user, visit, item) for visit in range(6) for user in range(4) for item in range(3)]
    clicked = [int((user + visit + item) % 3 == 0) for user, visit, item in rows]
    table = {
        "user_id": [user for user, _, _ in rows],
        "time": [1_709_571_600_000 + 3_600_000 * visit + user for user, visit, _ in rows],
        "item_id": [item for _, _, item in rows],
        "brand": [("alpha", "beta", None)[item] for _, _, item in rows],
        "price": [1.5 + item for _, _, item in rows],
        "seen_s": [0.5 * visit for _, visit, _ in rows],
        "page_s": [30.0 if click else None for click in clicked],
        "clicked": clicked,
    }
    pl.DataFrame(table).write_csv(folder / "shown.csv", separator=";")
    return folder


def test_a_source_and_a_feature_kind_of_another_package_give_samples(site: Path, shop: Path, tmp_path: Path) -> None:
    logs, samples = tmp_path / "logs", tmp_path / "samples"
    assert "shop" in edgerec_here("import", "--help").stdout
    arguments = ["import", "shop", shop, "--separator", ";", "--out", logs, "--json"]
    counts = document(edgerec_here(*arguments))
    assert {name: counts[name] for name in ("requests", "exposures", "clicks", "users")} == {
        "requests": 24,
        "exposures": 72,
        "clicks": 24,
        "users": 4,
    }
    document(edgerec_here("samples", logs, "--out", samples, "--processes", "1", "--json"))
    made = open_samples(samples)
    assert made.head.spec.item[0].model_dump()["buckets"] == 16
    encoder = made.item_encoder()
    alpha, none = (
        encoder.encode({"brand": np.array([brand], object), "price": np.array([1.5])}) for brand in ("alpha", None)
    )
    assert none.codes.tolist() == [[0]]
    shard = next(made.shards(TEST))
    codes = shard.requests.item.codes[shard.requests.row == 0]
    assert set(codes.ravel().tolist()) == {int(alpha.codes[0, 0])} != {0}
    dense = encoder.expand(alpha)
    assert dense.shape == (1, 17 + 1)
    assert dense[0, alpha.codes[0, 0]] == 1


@pytest.mark.parametrize("name", ["ebnerd", "kuairand", "movielens", "taobao-mcc"])
def test_a_source_of_edgerec_is_found_by_its_files(name: str) -> None:
    assert name in source_names()
    source = find_source(name)
    assert source_help(name).startswith(source.title)
    assert source.spec().item


def test_keras_and_numpy_expand_the_kind_in_the_same_way(site: Path) -> None:
    from edgerec.features.encoder import GroupEncoder
    from edgerec.layers.feature_vector import FeatureVector

    [brand, _] = load_spec(site / "shop_source.json").item
    encoder = GroupEncoder([brand])
    encoded = encoder.encode({"brand": np.array(["alpha", "", None, "beta"], object)})
    layer = FeatureVector.from_config(FeatureVector([brand], rows={}).get_config())
    np.testing.assert_array_equal(layer(encoded.ids, encoded.codes, encoded.numbers), encoder.expand(encoded))


def test_the_error_for_a_faulty_row_names_the_data_set(site: Path, shop: Path, tmp_path: Path) -> None:
    text = (shop / "shown.csv").read_text()
    (shop / "shown.csv").write_text(text.replace("1709571600000", "-5", 1))
    refused = error_line(edgerec_here("import", "shop", shop, "--separator", ";", "--out", tmp_path / "logs"))
    assert f"Shop: {shop}: logs: " in refused
    assert not (tmp_path / "logs").exists()


def test_a_missing_column_is_one_line_that_names_the_source(site: Path, shop: Path, tmp_path: Path) -> None:
    refused = error_line(edgerec_here("import", "shop", shop, "--separator", ",", "--out", tmp_path / "logs"))
    assert "shop_source.Shop failed (ColumnNotFoundError: " in refused


@pytest.mark.parametrize(
    ("method", "returned", "said"),
    [
        ("head", "{}", "`head` should return LogsHead; received dict"),
        ("read", "[1]", "`read` should return UserLogs; received int"),
        ("read", "None", "failed (TypeError: "),
    ],
)
def test_a_source_that_returns_something_else_is_one_line(
    site: Path, shop: Path, tmp_path: Path, method: str, returned: str, said: str
) -> None:
    with (site / "shop_source.py").open("a") as file:
        file.write(f"\n    def {method}(self):\n        return {returned}\n")
    refused = error_line(edgerec_here("import", "shop", shop, "--separator", ";", "--out", tmp_path / "logs"))
    assert "shop_source.Shop" in refused
    assert said in refused
    assert not (tmp_path / "logs").exists()


def test_a_faulty_specification_is_refused_before_the_files_are_read(site: Path, tmp_path: Path) -> None:
    (site / "shop_source.json").write_text('{"format": 1}')
    refused = error_line(edgerec_here("import", "shop", tmp_path / "nothing", "--out", tmp_path / "logs"))
    assert "shop_source.json" in refused


def test_without_the_package_the_error_names_the_feature_kind(shop: Path, tmp_path: Path) -> None:
    (tmp_path / "features.json").write_text(block(section("Add a data source"), "json"))
    with pytest.raises(SpecificationError, match=r"item\.0 .*received the kind 'hashed'.*install that package"):
        load_spec(tmp_path / "features.json")


def test_a_feature_kind_with_a_table_must_be_a_subclass_of_embedding(site: Path) -> None:
    module = site / "shop_features.py"
    module.write_text(module.read_text().replace("    buckets: A", '    layout = "table"\n    buckets: A'))
    with pytest.raises(
        PluginError, match=r"feature kind hashed: a kind with a table should be a subclass of .*Embedding"
    ):
        load_spec(site / "shop_source.json")


@pytest.mark.parametrize(
    ("method", "line", "said"),
    [
        ("encode", 'raise ValueError("no code\\nand more")', r"Hashed\.encode failed \(ValueError: no code\): repair"),
        ("encode", "column[0].nothing", r"Hashed\.encode failed \(AttributeError: "),
        (
            "encode",
            "return np.zeros(1 + len(column), int)",
            r"`shop_features\.Hashed\.encode` should return an array of \d+",
        ),
        ("encode", "return list(column)", r"should return an array of \d integers; received list$"),
        ("encode", "return np.full(len(column), 17)", r"should return codes from 0 to 16; received 17 to 17$"),
        ("codes", "return 1 / 0", r"shop_features\.Hashed\.codes failed \(ZeroDivisionError: "),
        ("reads", "return self.nothing", r"shop_features\.Hashed\.reads failed \(AttributeError: "),
    ],
)
def test_the_error_of_a_broken_feature_kind_is_one_line_that_names_class_and_method(
    site: Path, shop: Path, tmp_path: Path, method: str, line: str, said: str
) -> None:
    logs = tmp_path / "logs"
    document(edgerec_here("import", "shop", shop, "--separator", ";", "--out", logs, "--json"))
    module = site / "shop_features.py"
    module.write_text(re.sub(rf"    def {method}\(.*\):\n", lambda at: f"{at[0]}        {line}\n", module.read_text()))
    sys.modules.pop("shop_features")
    refused = error_line(edgerec_here("samples", logs, "--out", tmp_path / "samples", "--processes", "1"))
    assert re.search(said, refused)


def test_a_source_and_a_feature_kind_with_a_name_of_edgerec_are_refused(site: Path) -> None:
    points = site / "shop-1.0.dist-info" / "entry_points.txt"
    points.write_text(points.read_text().replace("shop = ", "kuairand = ").replace("hashed = ", "raw = "))
    with pytest.raises(PluginError, match=r"'kuairand' of edgerec\.sources: shop_source:Shop has a name that EdgeRec"):
        find_source("kuairand")
    specification = site / "shop_source.json"
    specification.write_text(specification.read_text().replace('"hashed", "buckets": 16', '"one_hot", "values": ["a"]'))
    with pytest.raises(PluginError, match=r"'raw' of edgerec\.features: shop_features:Hashed has a name that EdgeRec"):
        load_spec(specification)


def test_entry_points_are_read_once(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "shop" in source_names()
    monkeypatch.setattr("importlib.metadata.distributions", None)
    assert "shop" in source_names()


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("shop_features:Hashed", r"should be a subclass of edgerec\.data\.sources\.source\.Source; received"),
        ("shop_source:Nothing", r"shop_source:Nothing cannot be imported \(AttributeError"),
        ("no_such_module:Shop", r"cannot be imported \(ModuleNotFoundError: No module named 'no_such_module'\)"),
    ],
)
def test_a_faulty_entry_point_is_an_error(site: Path, value: str, problem: str) -> None:
    (site / "shop-1.0.dist-info" / "entry_points.txt").write_text(f"[edgerec.sources]\nshop = {value}\n")
    assert "shop" in edgerec_here("import", "--help").stdout
    assert re.search(problem, error_line(edgerec_here("import", "shop", "--help")))
    with pytest.raises(PluginError, match=problem):
        find_source("shop")
