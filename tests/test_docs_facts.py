"""Formats, columns, settings and packages in the docs agree with the code."""

from __future__ import annotations

import configparser
import re
import runpy
import sys
from pathlib import Path

import polars as pl
import pytest

import edgerec
import edgerec.layers
from edgerec.bundle import manifest
from edgerec.bundle.manifest import BundleManifest, Parity
from edgerec.data import logs, samples, schema
from edgerec.data.logs import LogsDocument, LogsHead
from edgerec.data.samples import SamplesHead
from edgerec.features import spec
from edgerec.model import run_head
from edgerec.model.config import TrainConfig
from edgerec.model.run_head import RunHead
from tests.synthetic import LIMITS, build, make_logs_with_context

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"


def section(page: str, title: str) -> str:
    """Return the text of a second-level section of a page."""
    text = (DOCS / page).read_text(encoding="utf-8")
    match = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    assert match, f"docs/{page} has no section {title!r}"
    return match[1]


def table_after(text: str, words: str) -> list[list[str]]:
    """Return the cells of the first table after `words`, without its header."""
    rows = []
    for line in text.split(words, 1)[1].splitlines():
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split(" | ")])
        elif rows:
            break
    return rows[2:]


def named(cells: list[list[str]]) -> list[str]:
    """Return the names in backticks in the first column."""
    return [name for row in cells for name in re.findall(r"`([^`]+)`", row[0])]


@pytest.mark.parametrize(
    ("title", "number"),
    [
        ("Logs", logs.FORMAT),
        ("Samples", samples.FORMAT),
        ("Run", run_head.FORMAT),
        ("Bundle", manifest.FORMAT),
    ],
)
def test_the_docs_state_the_format_numbers(title: str, number: int) -> None:
    text = section("formats.md", title)
    assert re.match(rf"\s*Format {number}\.", text)
    stated = re.findall(r"`format`[^\n0-9]*(\d+)", text)
    assert stated
    assert set(stated) == {str(number)}


def test_the_docs_state_the_format_of_a_specification() -> None:
    (row,) = [row for row in table_after(section("features.md", "The file"), "```\n\n") if "`format`" in row[0]]
    assert row[1].startswith(f"{spec.FORMAT};")


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (schema.ITEMS, "`items.parquet`, "),
        (schema.EVENTS, "`events/*.parquet`. "),
        (schema.REQUESTS, "`requests/*.parquet`. "),
    ],
)
def test_the_docs_list_the_columns_of_logs(table: str, words: str) -> None:
    rows = [row for row in table_after(section("formats.md", "Logs"), words) if not row[0].startswith("source of")]
    optional = [*schema.OPTIONAL[table], *([schema.CLICK_COUNT] if table == schema.REQUESTS else [])]
    assert sorted(named(rows)) == sorted([*schema.REQUIRED[table], *optional])
    for row in rows:
        assert ("optional" in row[1]) == (named([row])[0] in optional), row


def test_the_docs_list_the_columns_of_samples(tmp_path: Path) -> None:
    samples_path = build(tmp_path, make_logs_with_context(), limits=LIMITS).path
    text = section("formats.md", "Samples")
    for words, files in (
        ("Columns of `exposures` and `page_views`", ("exposures", "page_views")),
        ("Columns of requests", ("train", "validation", "test")),
    ):
        stated = {name.split("<")[0] for name in named(table_after(text, words))}
        for file in files:
            columns = pl.read_parquet_schema(samples_path / "shards" / "00000" / f"{file}.parquet")
            actual = {re.sub(r"^(action|served|relation|context)\..*", r"\1.", name) for name in columns}
            assert actual == stated


def test_the_docs_list_the_fields_of_heads() -> None:
    assert named(table_after(section("formats.md", "Logs"), "\n`logs.json`:")) == list(LogsDocument.model_fields)
    assert all(f"`{name}`" in (DOCS / "converters.md").read_text("utf-8") for name in list(LogsHead.model_fields)[2:])
    rows = table_after(section("formats.md", "Samples"), "\n`samples.json`:")
    assert sorted(named(rows)) == sorted(SamplesHead.model_fields)
    rows = table_after(section("formats.md", "Run"), "\n`run.json`:")
    assert sorted(named(rows)) == sorted(RunHead.model_fields)
    rows = table_after(section("formats.md", "Bundle"), "\n`manifest.json`:")
    assert sorted(named(rows)) == sorted([*BundleManifest.model_fields, "digest"])
    (parity,) = [row[1] for row in rows if row[0] == "`parity`"]
    assert set(re.findall(r"`([a-z_]+)`", parity)) == set(Parity.model_fields)


def test_the_docs_list_the_settings_of_a_training() -> None:
    rows = table_after((DOCS / "training.md").read_text(encoding="utf-8"), "## Configuration")
    assert [name for row in rows for name in named([row])[:1]] == list(TrainConfig.model_fields)
    for name, default, _ in rows:
        value = TrainConfig.model_fields[name.strip("`")].default
        shown = {"None": "by size", "True": "true", "False": "false", "0.0": "0"}.get(str(value), str(value))
        shown = "the model's own" if name == "`listwise`" else shown
        assert default.strip('`"') == shown, name


def test_the_docs_give_a_reason_for_each_package() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    extras = {"base": setup["options"]["install_requires"], **setup["options.extras_require"]}
    rows = table_after((DOCS / "dependencies.md").read_text(encoding="utf-8"), "# Why each")
    stated = {(extra, package) for row in rows for extra in row[0].split(", ") for package in row[1].split(", ")}
    for extra, text in extras.items():
        packages = {re.split(r"[><=;\[ ]", line)[0] for line in text.split("\n") if line} - {"edgerec"}
        explained = {package for listed_extra, package in stated if listed_extra in (extra, "device")}
        assert packages <= explained, f"docs/dependencies.md does not say why {extra} has {packages - explained}"
        assert {package for listed_extra, package in stated if listed_extra == extra} <= packages


def test_the_version_has_one_place_and_a_section_of_the_changelog() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert setup["metadata"]["version"] == "attr: edgerec.__version__"
    titles = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    versions = [title for title in titles if title != "Unreleased"]
    assert versions[0] == edgerec.__version__
    assert titles in (versions, ["Unreleased", *versions])


def test_the_reference_has_each_public_name_once() -> None:
    """A name that docs/python.md does not have is an error of `pages`."""
    pages = runpy.run_path(str(ROOT / "scripts" / "site" / "api.py"))["pages"](ROOT)
    named = re.findall(r"^      heading: (edgerec[\w.]*)$", "".join(pages.values()), re.MULTILINE)
    wanted = [f"{module.__name__}.{name}" for module in (edgerec, edgerec.layers) for name in module.__all__]
    assert sorted(named) == sorted(wanted)


def test_the_docs_list_the_layers_of_the_import_contract() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = settings["tool"]["importlinter"]["contracts"][0]["layers"]
    text = section("architecture.md", "Which folder may import which")
    lines = text.split("```\n")[1].splitlines()
    for line, layer in zip(lines, layers, strict=True):
        names = [name.removeprefix("edgerec.") for name in layer.split(" | ")]
        assert line.split()[: len(names)] == names


def test_every_folder_and_every_page_is_listed() -> None:
    table = named(table_after(section("architecture.md", "Where things are"), "\n"))
    folders = [path.name for path in (ROOT / "edgerec").iterdir() if (path / "__init__.py").is_file()]
    assert {name.rstrip("/") for name in table if name.count("/") == 1} >= set(folders)
    read = re.findall(r"`([a-z_/]+(?:/|\.py))`", section("architecture.md", "Where things are"))
    assert read
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for page in DOCS.glob("*.md"):
        assert f"(docs/{page.name})" in readme, page.name


def test_links_in_the_docs_point_to_existing_files() -> None:
    for page in (*DOCS.glob("*.md"), *ROOT.glob("*.md"), *(ROOT / "examples").rglob("*.md")):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
