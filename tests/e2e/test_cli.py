"""The command line in real processes: output, exit codes and remaining files."""

from __future__ import annotations

import contextlib
import json
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import polars as pl
import pytest

from edgerec.bundle.files import stamp_files
from edgerec.bundle.manifest_file import read_bundle_manifest, read_device_manifest, write_manifest
from edgerec.cli import cli
from tests.command_line import EDGEREC, document, edgerec, edgerec_here, error_line
from tests.quicker import run_eagerly, shorten_parity_check
from tests.synthetic import restamp, unstamp
from tests.test_docs import documented_keys

HEAVY = ("tensorflow", "keras", "onnx", "onnxruntime", "MNN", "numpy", "polars", "pydantic", "rich.progress")


SETTINGS = "units = 4\nlayers = 1\nbatch_size = 256\ncompiled = false\n"


@dataclass(frozen=True)
class Made:
    """The folder of the outputs of all commands, and the JSON document that each command printed."""

    root: Path
    documents: dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    root = tmp_path_factory.mktemp("way")
    (root / "c.toml").write_text('model = "dlcm"\n' + SETTINGS)
    commands: dict[str, list[str | Path]] = {
        "simulate": ["simulate", "--users", "40", "--days", "3", "--out", root / "logs"],
        "samples": ["samples", root / "logs", "--candidates", "50", "--out", root / "samples"],
        "train": ["train", root / "samples", "--config", root / "c.toml", "--epochs", "1", "--out", root / "run"],
        "evaluate": ["evaluate", root / "run", root / "samples"],
        "export": ["export", root / "run", "--requests", "10", "--out", root / "bundle"],
        "verify": ["verify", root / "bundle"],
    }
    documents = {}
    with pytest.MonkeyPatch.context() as patch, run_eagerly():
        shorten_parity_check(patch)
        for name, command in commands.items():
            documents[name] = document(edgerec_here(*command, "--json"))
    return Made(root, documents)


def test_every_command_prints_one_json_document(made: Made) -> None:
    assert made.documents["simulate"].keys() >= {"requests", "exposures", "clicks", "users", "seconds"}
    assert made.documents["samples"].keys() >= {"requests", "labels", "positive_labels", "users", "seconds"}
    for key in ("requests", "users"):
        assert made.documents["simulate"][key] == made.documents["samples"][key] > 0
    for key in ("exposures", "page_views"):
        assert made.documents["simulate"][key] == made.documents["samples"]["behaviours"][key] > 0
    assert made.documents["train"]["best_epoch"] == 1
    assert made.documents["evaluate"].keys() >= {
        "gauc", "gauc_ci95", "auc", "ndcg@5", "ndcg@10", "logloss", "requests", "impressions", "baselines",
    }  # fmt: skip
    assert made.documents["export"].keys() >= {
        "version_id",
        "precision",
        "device_bytes",
        "cloud_bytes",
        "parity",
        "gauc",
    }
    assert len({made.documents[name]["version_id"] for name in ("train", "evaluate", "export", "verify")}) == 1
    assert made.documents["export"]["device_bytes"] == made.documents["verify"]["device_bytes"]
    assert sorted(path.name for path in made.root.iterdir()) == ["bundle", "c.toml", "logs", "run", "samples"]


@pytest.mark.parametrize("name", ["simulate", "samples", "train", "evaluate", "export", "verify"])
def test_the_docs_list_every_output_key(made: Made, name: str) -> None:
    assert set(made.documents[name]) == {"schema", *documented_keys(f"edgerec {name}")}


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_ablate_writes_a_table_and_runs(made: Made, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(SETTINGS + "epochs = 1\n[models.dlcm]\nepochs = 2\n")
    out = tmp_path / "table"
    command = ["ablate", made.root / "samples", "--config", tmp_path / "c.toml", "--models", "dnn_rank", "--out", out]
    found = document(edgerec_here(*command, "--seeds", "1", "--oracle", "--logs", made.root / "logs", "--json"))
    assert [row["model"] for row in found["rows"]] == ["dnn_rank", "dlcm"]
    for row in found["rows"]:
        assert row.keys() >= {"model", "gauc_mean", "gauc_sd", "p_vs_dlcm", "parameters", "train_seconds", "gap_closed"}
    assert found["baselines"]["truth"] > found["baselines"]["base_order"]
    assert {"ablation.html", "ablation.json", "ablation.md", "runs"} <= {path.name for path in out.iterdir()}
    assert "exists already" in error_line(edgerec_here(*command))
    assert "no partial results" in error_line(edgerec_here(*command[:-1], tmp_path / "other", "--resume"))
    assert "no model 'nope'" in error_line(edgerec_here(*command[:4], "--models", "nope", "--out", tmp_path / "other"))
    # A run of an ablation can be evaluated and exported like a run of `train`.
    run = out / "runs" / "dlcm-seed-1"
    evaluated = document(edgerec_here("evaluate", run, made.root / "samples", "--json"))
    assert evaluated["gauc"] == pytest.approx(found["rows"][1]["gauc_mean"], abs=1e-6)
    exported = document(edgerec_here("export", run, "--out", tmp_path / "bundle", "--requests", "20", "--json"))
    assert exported["parity_max_abs"] < 1e-4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "c.toml", "table"]


def test_commands_print_tables_without_json(made: Made) -> None:
    done = edgerec_here("verify", made.root / "bundle")
    assert done.returncode == 0
    assert made.documents["verify"]["version_id"] in done.stdout
    assert "{" not in done.stdout


@pytest.mark.parametrize(("what", "stages"), [("step", {"hubsm_ie", "hubsm_ipv"}), ("rerank", {"rerank"})])
def test_bench_measures_and_writes_a_document(bundle_path: Path, tmp_path: Path, what: str, stages: set[str]) -> None:
    out = tmp_path / "bench.json"
    found = document(edgerec_here("bench", what, bundle_path, "--rounds", "2", "--out", out, "--json"))
    rows = [row for row in found["results"] if row["name"] == "mnn"]
    assert {row["stage"] for row in rows} == stages
    for row in rows:
        assert row.keys() >= {"n", "p50_us", "p90_us", "p99_us"}
        assert 0 < row["p50_us"] <= row["p90_us"] <= row["p99_us"]
    assert found["environment"]
    assert json.loads(out.read_text())["results"]
    assert "exists already" in error_line(edgerec_here("bench", what, bundle_path, "--rounds", "1", "--out", out))


def commands(group: click.Group, *path: str) -> Iterator[tuple[str, ...]]:
    yield path
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)
        else:
            yield (*path, name)


def test_every_command_has_a_help_text() -> None:
    every = list(commands(cli))
    assert len(every) >= 11
    for path in every:
        done = edgerec_here(*path, "--help")
        assert done.returncode == 0, path
        assert done.stdout.startswith("Usage: "), path
        assert done.stderr == ""
        # The help text is longer than the usage line.
        assert len([line for line in done.stdout.splitlines() if line.strip()]) > 3, path


def test_help_imports_no_large_package() -> None:
    script = (
        "import sys; sys.argv = ['edgerec', '--help']\n"
        "from edgerec.cli import main\n"
        "main()\n"
        f"print('LOADED', [name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Usage: ")
    assert done.stdout.splitlines()[-1] == "LOADED []"


USAGE: list[list[str]] = [
    ["nonsense"],
    ["samples"],
    ["samples", "logs"],
    ["simulate", "--out", "x", "--users", "many"],
    ["evaluate", "run", "samples", "--split", "tomorrow"],
    ["verify", "bundle", "--no-such-option"],
    ["bench", "nonsense", "bundle"],
]


def test_usage_errors_exit_with_2(tmp_path: Path) -> None:
    for arguments in USAGE:
        done = edgerec_here(*arguments, cwd=tmp_path)
        assert done.returncode == 2, arguments
        assert done.stdout == ""
        assert "Traceback" not in done.stderr
    assert edgerec(*USAGE[0], cwd=tmp_path).returncode == 2
    assert list(tmp_path.iterdir()) == []


def _table(name: str, change: Callable[[pl.DataFrame], pl.DataFrame]) -> Callable[[Path], object]:
    def write(root: Path) -> None:
        file = root / "logs" / name
        change(pl.read_parquet(file)).write_parquet(file)
        unstamp(root / "logs")

    return write


def _cut(root: Path) -> None:
    file = root / "logs" / "events" / "part-00000.parquet"
    file.write_bytes(file.read_bytes()[:-200])


def _emptied(root: Path) -> None:
    shutil.rmtree(root / "logs")
    (root / "logs").mkdir()


def _set_array(name: str, index: Any, value: float) -> Callable[[Path], object]:
    def write(root: Path) -> None:
        array = np.load(root / "samples" / name)
        array[index] = value
        np.save(root / "samples" / name, array)

    return write


def _no_numbers(root: Path) -> None:
    file = root / "samples" / "shards" / "00000" / "train.parquet"
    table = pl.read_parquet(file)
    numbers = pl.col("served.score").list.eval(pl.element() * float("nan"))
    table.with_columns(numbers).write_parquet(file)
    restamp(root / "samples")


def _flip(name: str) -> Callable[[Path], object]:
    def write(root: Path) -> None:
        file = sorted((root / "bundle").glob(name))[0]
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)

    return write


def _no_model(root: Path) -> None:
    """Replace a device model by one that MNN cannot load, and update the hashes."""
    bundle, folder = root / "bundle", root / "bundle" / "device"
    file = folder / "crban.mnn"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    device = read_device_manifest(folder)
    write_manifest(device.model_copy(update={"files": stamp_files(folder, folder.glob("*.mnn"))}), folder)
    files = [path for path in bundle.rglob("*") if path.is_file() and path != bundle / "manifest.json"]
    manifest = read_bundle_manifest(bundle)
    write_manifest(manifest.model_copy(update={"files": stamp_files(bundle, files)}), bundle)


@pytest.mark.parametrize("value", ["abc", "2.5", "0"])
@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("train", "samples", "--tune"), "'--tune': should be a whole number of at least 1"),
        (("samples", "logs", "--processes"), "'--processes': should be a whole number from 1 to 1024"),
    ],
)
def test_the_error_for_a_number_out_of_bounds_says_what_is_expected(
    command: tuple[str, ...], said: str, value: str
) -> None:
    done = edgerec_here(*command, value, "--out", "x")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == f"Error: Invalid value for {said}; received {value!r}"


def _format(name: str) -> Callable[[Path], object]:
    def write(root: Path) -> None:
        head = json.loads((root / name).read_text())
        (root / name).write_text(json.dumps({**head, "format": 99}))

    return write


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["evaluate", "run"], "run is a run: give the folder of the samples after it: edgerec evaluate RUN SAMPLES"),
        (["train", "run"], "has no samples.json; it is a folder of the kind 'run': give a folder with samples.json"),
        (["samples", "bundle"], "it is a folder of the kind 'bundle': give a folder with logs.json"),
    ],
)
def test_the_error_for_another_kind_of_folder_says_what_it_contains(
    command: list[str], said: str, run_path: Path, bundle_path: Path, tmp_path: Path
) -> None:
    folder = {"run": run_path, "bundle": bundle_path}[command[1]]
    more = [] if command[0] == "evaluate" else ["--out", tmp_path / "out"]
    assert said in error_line(edgerec_here(command[0], folder, *more))


REQUESTS, ITEMS = "requests/part-00000.parquet", "items.parquet"
SAMPLES, TRAIN, VERIFY = ("samples", "logs"), ("train", "samples"), ("verify", "bundle")
FAULTS: dict[str, tuple[Callable[[Path], object], tuple[str, ...], str]] = {
    "missing column": (_table(REQUESTS, lambda t: t.drop("clicked")), SAMPLES, "no column 'clicked'"),
    "renamed column": (_table(ITEMS, lambda t: t.rename({"shop": "store"})), SAMPLES, "no column 'shop'"),
    "truncated Parquet": (_cut, SAMPLES, "was changed after it was written"),
    "empty folder": (_emptied, SAMPLES, "has no logs.json"),
    "no folder": (lambda root: shutil.rmtree(root / "logs"), SAMPLES, "is not a folder"),
    "NaN in scores": (
        _table(REQUESTS, lambda t: t.with_columns(score=pl.col("score").list.eval(pl.element() * float("nan")))),
        SAMPLES,
        "holds NaN or infinity",
    ),
    "labels": (
        _table(REQUESTS, lambda t: t.with_columns(clicked=pl.col("clicked").list.eval(pl.element() + 1))),
        SAMPLES,
        "should be 0, 1, or null if not exposed; received 2",
    ),
    "list longer than k": (lambda root: None, (*SAMPLES, "--candidates", "3"), "more than the limit of 3"),
    "limit out of range": (lambda root: None, (*SAMPLES, "--exposures", "0"), "exposures"),
    "ids out of range": (_set_array("items/ids.npy", 0, 10**6), TRAIN, "values out of range"),
    "NaN in samples": (_no_numbers, TRAIN, "values out of range"),
    "samples of another format": (_format("samples/samples.json"), TRAIN, "reads format 4"),
    "unknown setting": (
        lambda root: (root / "c.toml").write_text("unit = 4"),
        (*TRAIN, "--config", "c.toml"),
        "unit is not a known key (did you mean units?)",
    ),
    "a run in place of samples": (
        lambda root: None,
        ("train", "run"),
        "no samples.json; it is a folder of the kind 'run'",
    ),
    "changed model": (_flip("device/crban.mnn"), VERIFY, "was changed after it was written"),
    "changed table": (_flip("cloud/embeddings/shop/shard-*.npz"), VERIFY, "was changed"),
    "changed manifest": (_flip("manifest.json"), VERIFY, "manifest.json"),
    "bundle of another format": (_format("bundle/manifest.json"), VERIFY, "reads format 1"),
    "a model that MNN cannot load": (_no_model, VERIFY, "MNN"),
    "no bundle": (lambda root: shutil.rmtree(root / "bundle"), VERIFY, "is not a folder"),
    "no EB-NeRD": (lambda root: None, ("import", "ebnerd", "logs"), "EB-NeRD"),
    "no users": (lambda root: None, ("simulate", "--users", "0"), "users should be a whole number"),
    "a file in the way": (
        lambda root: (root / "new").write_text("mine"),
        (*SAMPLES,),
        "exists already and is a file; --force only replaces samples: choose another name",
    ),
    "a folder in the way": (lambda root: (root / "new").mkdir(), ("simulate",), "exists already"),
}


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory, samples_path: Path, run_path: Path, bundle_path: Path) -> Path:
    root = tmp_path_factory.mktemp("whole")
    shutil.copytree(samples_path, root / "samples")
    shutil.copytree(samples_path.parent / "logs", root / "logs")
    shutil.copytree(run_path, root / "run")
    shutil.copytree(bundle_path, root / "bundle")
    return root


Runner = Callable[..., subprocess.CompletedProcess[str]]
# Two cases run in a real process. The others differ only in their input; `tests/bundle/test_guard.py` runs `verify`.
PROCESSES = ("truncated Parquet", "unknown setting")


@pytest.mark.parametrize(
    ("name", "run"), [*((name, edgerec_here) for name in FAULTS), *((name, edgerec) for name in PROCESSES)]
)
def test_bad_input_is_refused_in_one_line_without_output(name: str, run: Runner, outputs: Path, tmp_path: Path) -> None:
    damage, command, expected = FAULTS[name]
    root = Path(shutil.copytree(outputs, tmp_path / "root"))
    damage(root)
    before = sorted(path.name for path in root.iterdir())
    out = [] if command[0] == "verify" else ["--out", "new"]
    assert expected in error_line(run(*command, *out, cwd=root))
    assert sorted(path.name for path in root.iterdir()) == before


def test_damaged_runs_are_refused(outputs: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(outputs, tmp_path / "root"))
    _format("run/run.json")(root)
    for command in (("evaluate", "run", "samples"), ("export", "run", "--out", "new")):
        done = edgerec_here(*command, cwd=root)
        assert "run/run.json has format 99, but this version of EdgeRec reads format 2" in error_line(done)
    assert sorted(path.name for path in root.iterdir()) == ["bundle", "logs", "run", "samples"]


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[dict[str, Any]]:
    """Mount a file system of 64 KiB at `folder`. If that fails, yield options that limit the size of files instead."""
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        yield {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))}
        return
    try:
        yield {}
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.skipif(shutil.which("mount") is None, reason="needs the command mount, from the package mount")
def test_a_full_disk_is_reported_in_one_line(outputs: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as more:
        for command in (["samples", outputs / "logs"], ["simulate", "--users", "40"]):
            line = error_line(edgerec(*command, "--out", tmp_path / "disk" / "new", **more))
            assert any(reason in line for reason in ("No space left", "free some space", "File too large"))
            assert list((tmp_path / "disk").iterdir()) == []


_SLEEPING = """
import time
from edgerec import cli
from edgerec.data import build_samples

def sleep(work, *_, **__):
    (work.scratch / "asleep").touch()
    while True:
        time.sleep(1)

build_samples.make_plan = sleep
cli.main()
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_command_without_output(outputs: Path, tmp_path: Path, number: int, code: int) -> None:
    shutil.copytree(outputs / "logs", tmp_path / "logs")
    command = [sys.executable, "-c", _SLEEPING, "samples", str(tmp_path / "logs"), "--out", str(tmp_path / "new")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        while not list((tmp_path / ".new.samples" / "scratch").glob("*/asleep")):
            assert child.poll() is None
            time.sleep(0.02)
        child.send_signal(number)
        try:
            out, err = child.communicate()
        finally:
            child.kill()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["logs"]
    # Shells report a death by a signal as 128 plus its number.
    assert child.returncode in (code, -number if number == signal.SIGTERM else code)
    assert out == ""
    assert "Traceback" not in err
    assert err.strip() == ("edgerec: interrupted" if number == signal.SIGINT else "")


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_an_interrupted_training_is_kept_and_can_be_finished(samples_path: Path, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text(
        'model = "dnn_rank"\nunits = 4\nepochs = 1000\npatience = 1000\nbatch_size = 1000\ncompiled = false\n'
    )
    command: list[str | Path] = ["train", samples_path, "--config", tmp_path / "c.toml", "--out", tmp_path / "run"]
    work = tmp_path / ".run.training"
    with subprocess.Popen(
        [*EDGEREC, *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        # Wait until the first epoch is recorded. A training that is interrupted before leaves no files.
        while not (work / "progress.json").is_file() or not json.loads((work / "progress.json").read_text())["epoch"]:
            assert child.poll() is None
            time.sleep(0.02)
        running = error_line(edgerec_here(*command[:2], *command[-2:], "--finish"))
        child.send_signal(signal.SIGINT)
        try:
            out, err = child.communicate()
        finally:
            child.kill()
    assert "this training is still running. Wait until it ends, or stop it with ^C" in running
    assert child.returncode == 130, err
    kept, last = err.splitlines()[-2:]
    assert "edgerec: stopping: the current step ends first" in err.splitlines()
    assert kept.startswith(("training: epoch 1 kept in ", "training: epochs 1 to "))
    assert kept.endswith(f" kept in {work}: go on with --resume, or make its best epoch the run with --finish")
    assert last == "edgerec: interrupted"
    assert out == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == [".run.training", "c.toml"]
    epochs = json.loads((work / "progress.json").read_text())["epoch"]
    assert 1 <= epochs < 1000
    # Without --resume, the command leaves the unfinished training unchanged.
    before = (work / "progress.json").read_bytes()
    assert "go on with --resume, or make its best epoch the run with --finish" in error_line(edgerec_here(*command))
    assert (work / "progress.json").read_bytes() == before
    assert "leave out --config" in edgerec_here(*command, "--finish").stderr

    finished = document(edgerec_here(*command[:2], *command[-2:], "--finish", "--json"))
    assert (finished["epochs_trained"], finished["finished_early"]) == (epochs, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.toml", "run"]
    evaluated = document(edgerec_here("evaluate", tmp_path / "run", samples_path, "--split", "validation", "--json"))
    assert evaluated["gauc"] == pytest.approx(finished["validation_gauc"], abs=1e-9)
    exported = document(
        edgerec_here("export", tmp_path / "run", "--requests", "10", "--out", tmp_path / "bundle", "--json")
    )
    assert exported["version_id"] == finished["version_id"]
