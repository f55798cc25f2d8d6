"""The commands that `tests.proof.kills` kills: their inputs, command lines, and the comparison of their outputs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgerec.core.hashing import sha256_file

EDGEREC = [sys.executable, "-m", "edgerec"]
WORLD = """
categories = 3000
brands_per_category = 1
items = 3000

[cloud]
page = 10
recall = 20
"""
"""A simulation with many categories has small blocks of users, so a small world has several blocks."""
SMALL_SHARDS = """
from edgerec.data.build_samples import write_samples
write_samples.__kwdefaults__["target"] = 30_000
from edgerec.cli import main
main()
"""
"""A script that runs `edgerec` with small shards, so that small logs have several shards."""
TRAINING = """
model = "dlcm"
units = 4
layers = 1
epochs = 4
patience = 4
batch_size = 64
compiled = false
"""


@dataclass(frozen=True)
class Job:
    """A command with its inputs.

    Attributes:
        name: name of the command.
        arguments: its arguments without the output.
        inputs: commands that make the input, in order.
        files: files that these commands need, with their content.
        reading: commands that read the output. OUT in their arguments is replaced by its path.
        differences: returns the differences between two outputs. If the outputs are equal, the list is empty.
        program: the program that runs the command.
    """

    name: str
    arguments: list[str]
    inputs: list[list[str]] = field(default_factory=list)
    files: dict[Path, str] = field(default_factory=dict)
    reading: list[list[str]] = field(default_factory=list)
    differences: Callable[[Path, Path], list[str]] = lambda first, second: folder_differences(first, second)
    program: list[str] = field(default_factory=lambda: list(EDGEREC))

    def prepare(self) -> None:
        """Write the files and run the commands that make the input."""
        for path, text in self.files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        for arguments in self.inputs:
            subprocess.run([*EDGEREC, *arguments], check=True, stdout=subprocess.DEVNULL)

    def command(self, out: Path) -> list[str]:
        """Return the command line that writes `out`."""
        return [*self.program, *self.arguments, "--out", str(out)]

    def readers(self, out: Path) -> list[list[str]]:
        """Return the command lines that must accept `out`."""
        return [[*EDGEREC, *(str(out) if part == "OUT" else part for part in line)] for line in self.reading]


def folder_differences(first: Path, second: Path) -> list[str]:
    """Return a text for each file whose bytes differ between two folders."""
    first_files, second_files = (
        {str(path.relative_to(folder)): sha256_file(path) for path in folder.rglob("*") if path.is_file()}
        for folder in (first, second)
    )
    names = first_files.keys() | second_files.keys()
    return sorted(f"{name} differs" for name in names if first_files.get(name) != second_files.get(name))


def run_differences(first: Path, second: Path) -> list[str]:
    """Return the differences between two runs, except their training time and speed."""
    compared_later = {"run.json differs", "metrics.jsonl differs"}
    differences = [fault for fault in folder_differences(first, second) if fault not in compared_later]
    try:
        heads, histories = zip(*map(_read_run, (first, second)), strict=True)
    except (OSError, ValueError, KeyError) as error:
        return [*differences, f"a run cannot be read: {error}"]
    differences += ["run.json differs"] if heads[0] != heads[1] else []
    return differences + (["metrics.jsonl differs"] if histories[0] != histories[1] else [])


def _read_run(run: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    head = json.loads((run / "run.json").read_bytes())
    head["version_id"] = head["version_id"].partition("-")[2]
    del head["train_seconds"]
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return head, [{k: v for k, v in row.items() if k not in ("seconds", "requests_per_second")} for row in rows]


def _simulate(inputs: Path, users: int) -> list[str]:
    return ["simulate", "--config", str(inputs / "world.toml"), "--users", str(users), "--days", "5"]


def simulate(inputs: Path) -> Job:
    """Return a simulation of several blocks in two processes."""
    return Job(
        "simulate",
        [*_simulate(inputs, 900), "--processes", "2"],
        files={inputs / "world.toml": WORLD},
        reading=[["stats", "OUT"]],
    )


def samples(inputs: Path) -> Job:
    """Return a `samples` command that makes several shards. It has to partition the logs by user first."""
    logs = str(inputs / "logs")
    return Job(
        "samples",
        ["samples", logs, "--processes", "2"],
        inputs=[[*_simulate(inputs, 900), "--out", logs]],
        files={inputs / "world.toml": WORLD},
        reading=[["evaluate", "OUT"]],
        program=[sys.executable, "-c", SMALL_SHARDS],
    )


def train(inputs: Path) -> Job:
    """Return a training of a small model over four epochs."""
    samples_folder = str(inputs / "samples")
    return Job(
        "train",
        ["train", samples_folder, "--config", str(inputs / "train.toml")],
        inputs=_samples(inputs),
        files={inputs / "world.toml": WORLD, inputs / "train.toml": TRAINING},
        reading=[["evaluate", "OUT", samples_folder]],
        differences=run_differences,
    )


def export(inputs: Path) -> Job:
    """Return the export of a model that has a step graph."""
    settings = ["--config", str(inputs / "train.toml"), "--epochs", "1", "--model", "crban_ie"]
    run = ["train", str(inputs / "samples"), *settings]
    return Job(
        "export",
        ["export", str(inputs / "run"), "--requests", "10"],
        inputs=[*_samples(inputs), [*run, "--out", str(inputs / "run")]],
        files={inputs / "world.toml": WORLD, inputs / "train.toml": TRAINING},
        reading=[["verify", "OUT"], ["inspect", "OUT"]],
    )


def _samples(inputs: Path) -> list[list[str]]:
    logs, samples_folder = str(inputs / "logs"), str(inputs / "samples")
    limits = ["--candidates", "10", "--exposures", "12", "--page-views", "6"]
    return [[*_simulate(inputs, 120), "--out", logs], ["samples", logs, "--out", samples_folder, *limits]]


JOBS: dict[str, Callable[[Path], Job]] = {job.__name__: job for job in (simulate, samples, train, export)}
