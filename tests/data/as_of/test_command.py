"""`edgerec as-of`: its output and its errors."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from edgerec.core.atomic import write_json
from edgerec.data.as_of.folder import write_as_of
from edgerec.data.logs import load_logs, write_logs
from tests.command_line import edgerec_here
from tests.synthetic import make_logs

VIEWS = {
    "name": "views", "source": "views", "kind": "raw", "origin": "served",
    "as_of": {"count": "page_view", "by": ["shop"], "half_life_s": 3600},
}  # fmt: skip


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Logs that lack a column, and `more.json`, the specification that computes it."""
    folder = tmp_path_factory.mktemp("as-of")
    logs = make_logs(users=8)
    write_logs(logs, folder / "logs")
    spec = logs.spec.model_dump(mode="json", exclude_none=True)
    write_json(folder / "more.json", {**spec, "item": [*spec["item"], VIEWS]})
    return folder


def test_the_command_adds_columns_and_keeps_the_others(bare: Path, tmp_path: Path) -> None:
    done = edgerec_here("as-of", bare / "logs", "--out", tmp_path / "new", "--features", bare / "more.json", "--json")
    assert done.returncode == 0, done.stderr
    before, after = load_logs(bare / "logs"), load_logs(tmp_path / "new")
    assert json.loads(done.stdout)["columns"] == ["views"]
    assert {key: json.loads(done.stdout)[key] for key in before.counts()} == before.counts()
    assert after.events.drop("views").equals(before.events)
    assert after.requests.drop("views").equals(before.requests)
    assert after.items.equals(before.items)
    assert after.spec.item[-1].name == "views"


def test_samples_of_logs_without_the_column_name_the_command(bare: Path, tmp_path: Path) -> None:
    done = edgerec_here("samples", bare / "logs", "--out", tmp_path / "samples", "--features", bare / "more.json")
    assert done.returncode == 1
    assert "has no column 'views'" in done.stderr
    assert "edgerec as-of LOGS --out NEW" in done.stderr


def test_a_column_that_was_computed_in_another_way_is_an_error(bare: Path, tmp_path: Path) -> None:
    """The samples would have the old values, and a specification that says something else."""
    write_as_of(bare / "logs", tmp_path / "logs", features=bare / "more.json")
    other = json.loads((bare / "more.json").read_text())
    other["item"][-1]["as_of"]["half_life_s"] = 60
    write_json(tmp_path / "other.json", other)
    for command in ("samples", "as-of"):
        done = edgerec_here(
            command, tmp_path / "logs", "--out", tmp_path / "new", "--features", tmp_path / "other.json"
        )
        assert done.returncode == 1
        assert "the column 'views'" in done.stderr
        assert "give the feature another source" in done.stderr
    other["item"][-1]["source"] = "views_of_a_minute"
    write_json(tmp_path / "other.json", other)
    write_as_of(tmp_path / "logs", tmp_path / "new", features=tmp_path / "other.json")
    assert {"views", "views_of_a_minute"} < set(load_logs(tmp_path / "new").requests.columns)


def test_a_given_specification_may_replace_one_that_is_not_valid(bare: Path, tmp_path: Path) -> None:
    shutil.copytree(bare / "logs", tmp_path / "logs")
    (tmp_path / "logs" / "features.json").write_text("{}")
    write_as_of(tmp_path / "logs", tmp_path / "new", features=bare / "more.json")
    assert "views" in load_logs(tmp_path / "new").requests.columns


def test_the_number_of_processes_and_of_parts_does_not_change_values(bare: Path, tmp_path: Path) -> None:
    for name, processes, target in (("one", 1, 10**6), ("two", 2, 50)):
        write_as_of(bare / "logs", tmp_path / name, features=bare / "more.json", processes=processes, target=target)
    one, two = load_logs(tmp_path / "one"), load_logs(tmp_path / "two")
    assert len(list((tmp_path / "two" / "events").iterdir())) > 1
    assert two.events.equals(one.events)
    assert two.requests.equals(one.requests)


def test_an_error_leaves_no_output(bare: Path, tmp_path: Path) -> None:
    wrong = json.loads((bare / "more.json").read_text())
    wrong["item"][-1]["as_of"]["by"] = ["brand"]
    write_json(tmp_path / "wrong.json", wrong)
    done = edgerec_here("as-of", bare / "logs", "--out", tmp_path / "new", "--features", tmp_path / "wrong.json")
    assert done.returncode == 1
    assert "table 'items' has no column 'brand'" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["wrong.json"]
    again = edgerec_here("as-of", bare / "logs", "--out", tmp_path / "new")
    assert "there is no column to compute" in again.stderr
