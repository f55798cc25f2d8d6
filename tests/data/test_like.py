from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from edgerec.core.errors import FormatError, InputError, LogsError
from edgerec.data.build_samples import write_samples
from edgerec.data.logs import load_logs, write_logs
from edgerec.data.samples import SPLITS, TEST, Samples
from edgerec.features.spec import of_origin
from edgerec.model.run_head import check_samples, read_run_head
from tests.command_line import document, edgerec_here
from tests.synthetic import SPEC, make_logs, unstamp, whole


@pytest.fixture(scope="module")
def later(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return logs of other users and of items of which the run knows only some."""
    logs = make_logs(users=6, items=60, seed=7)
    folder = tmp_path_factory.mktemp("later") / "logs"
    write_logs(replace(logs, items=logs.items.with_columns(shop=pl.col("shop") + 10)), folder)
    return folder


def counts(samples: Samples) -> list[int]:
    return [samples.head.splits[split].requests for split in SPLITS]


def test_samples_like_a_run_of_the_same_logs_have_the_same_bytes(
    run_path: Path, samples: Samples, tmp_path: Path
) -> None:
    logs = samples.path.parent / "logs"
    again = write_samples(
        logs, tmp_path / "again", like=run_path, test_from=samples.head.test_from, validation_fraction=0.1
    )
    assert again.head == samples.head
    assert again.digest == samples.digest


def test_samples_of_later_logs_are_tested_by_the_run(run_path: Path, later: Path, tmp_path: Path) -> None:
    made = write_samples(later, tmp_path / "samples", like=run_path, target=200)
    head, vocabularies = read_run_head(run_path)
    check_samples(head, vocabularies, made)
    assert counts(made) == [0, 0, 60]
    assert len(made.head.shards) > 1
    column = [feature.name for feature in made.head.spec.embeddings].index("shop")
    ids = whole(made, TEST).requests.item.ids[:, column]
    # Row 0 is the unknown ID. The run knows shops up to 19.
    assert set(ids == 0) == {True, False}


def test_periods_may_be_empty(run_path: Path, later: Path, tmp_path: Path) -> None:
    times = load_logs(later).requests["time"]
    for number, (settings, expected) in enumerate(
        [
            ({"test_from": int(times[30])}, [27, 3, 30]),
            ({"test_from": int(times[1])}, [0, 1, 59]),
            ({"test_from": 10**12}, [54, 6, 0]),
            ({"validation_fraction": 0.5}, [24, 24, 12]),
        ]
    ):
        assert counts(write_samples(later, tmp_path / str(number), like=run_path, **settings)) == expected


def test_the_features_of_the_logs_need_not_be_those_of_the_run(run_path: Path, later: Path, tmp_path: Path) -> None:
    logs = load_logs(later)
    fewer = SPEC.model_copy(update={"item": SPEC.item[:1]})
    write_logs(replace(logs, spec=fewer), tmp_path / "logs")
    made = write_samples(tmp_path / "logs", tmp_path / "samples", like=run_path)
    assert made.head.spec == read_run_head(run_path)[0].spec != fewer


def test_logs_without_a_column_of_the_run_are_an_error(run_path: Path, later: Path, tmp_path: Path) -> None:
    logs = load_logs(later)
    fewer = SPEC.model_copy(update={"item": of_origin(SPEC.item, "catalogue")})
    tables = {"events": logs.events.drop("score"), "requests": logs.requests.drop("score")}
    write_logs(replace(logs, spec=fewer, **tables), tmp_path / "logs")
    with pytest.raises(LogsError, match="has no column 'score'"):
        write_samples(tmp_path / "logs", tmp_path / "samples", like=run_path)
    assert not (tmp_path / "samples").exists()


def test_lists_that_repeat_an_item_are_an_error(run_path: Path, later: Path, tmp_path: Path) -> None:
    logs = load_logs(later)
    write_logs(logs, tmp_path / "logs")
    unstamp(tmp_path / "logs")
    repeated = pl.col("item_id").list.eval(pl.element().first().over(pl.lit(1)))
    part = tmp_path / "logs" / "requests" / "part-00000.parquet"
    logs.requests.with_columns(repeated).write_parquet(part)
    # Nothing is counted, so the lists are checked when they are encoded.
    with pytest.raises(LogsError, match="a list should contain an item once"):
        write_samples(tmp_path / "logs", tmp_path / "samples", like=run_path)


@pytest.mark.parametrize("settings", [{"features": "features.json"}, {"limits": {"exposures": 3}}])
def test_a_run_has_features_and_limits_of_its_own(
    run_path: Path, later: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    with pytest.raises(InputError, match="leave out `features` and `limits`"):
        write_samples(later, tmp_path / "samples", like=run_path, **settings)


def test_only_a_run_can_be_followed(later: Path, samples_path: Path, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"has no run\.json; it is a folder of the kind 'samples'"):
        write_samples(later, tmp_path / "samples", like=samples_path)


def test_the_command_takes_a_run(run_path: Path, later: Path, tmp_path: Path) -> None:
    out = tmp_path / "samples"
    done = document(edgerec_here("samples", later, "--out", out, "--like", run_path, "--processes", "1", "--json"))
    assert done["splits"][TEST]["requests"] == 60
    for option in (["--features", later / "features.json"], ["--candidates", "100"], ["--page-views", "3"]):
        refused = edgerec_here("samples", later, "--out", tmp_path / "no", "--like", run_path, *option)
        assert refused.returncode == 2
        assert f"leave out {option[0]}" in refused.stderr
