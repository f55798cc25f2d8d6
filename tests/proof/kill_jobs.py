"""The commands that `tests.proof.kills` kills: their inputs, how they are run, and when two outputs are equal."""

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
"""Many categories make small blocks of users, so that a small world has several."""
SMALL_SHARDS = """
from edgerec.data.build_samples import write_samples
write_samples.__kwdefaults__["target"] = 30_000
from edgerec.cli import main
main()
"""
"""`edgerec` with shards so small that small logs make several."""
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
    """A command and what has to be there for it.

    Attributes:
        name: of the command.
        arguments: without the output.
        inputs: commands that make the input, in order.
        files: that these need.
        reading: commands that read the output, in whose arguments OUT stands for it.
        differences: what differs between two outputs; empty where they are equal.
        program: what runs the command.
    """

    name: str
    arguments: list[str]
    inputs: list[list[str]] = field(default_factory=list)
    files: dict[Path, str] = field(default_factory=dict)
    reading: list[list[str]] = field(default_factory=list)
    differences: Callable[[Path, Path], list[str]] = lambda one, other: folder_differences(one, other)
    program: list[str] = field(default_factory=lambda: list(EDGEREC))

    def prepare(self) -> None:
        """Make the input."""
        for path, text in self.files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        for arguments in self.inputs:
            subprocess.run([*EDGEREC, *arguments], check=True, stdout=subprocess.DEVNULL)

    def command(self, out: Path) -> list[str]:
        """The command line that writes `out`."""
        return [*self.program, *self.arguments, "--out", str(out)]

    def readers(self, out: Path) -> list[list[str]]:
        """Command lines that have to accept `out`."""
        return [[*EDGEREC, *(str(out) if part == "OUT" else part for part in line)] for line in self.reading]


def folder_differences(one: Path, other: Path) -> list[str]:
    """Files of two folders that are not the same bytes."""
    first, second = (
        {str(path.relative_to(folder)): sha256_file(path) for path in folder.rglob("*") if path.is_file()}
        for folder in (one, other)
    )
    return sorted(f"{name} differs" for name in first.keys() | second.keys() if first.get(name) != second.get(name))


def run_differences(one: Path, other: Path) -> list[str]:
    """What differs between two runs, but for when and how fast they were trained."""
    apart = {"run.json differs", "metrics.jsonl differs"}
    found = [fault for fault in folder_differences(one, other) if fault not in apart]
    try:
        heads, histories = zip(*map(_trained, (one, other)), strict=True)
    except (OSError, ValueError, KeyError) as error:
        return [*found, f"a run cannot be read: {error}"]
    found += ["run.json differs"] if heads[0] != heads[1] else []
    return found + (["metrics.jsonl differs"] if histories[0] != histories[1] else [])


def _trained(run: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    head = json.loads((run / "run.json").read_bytes())
    head["version_id"] = head["version_id"].partition("-")[2]
    del head["train_seconds"]
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return head, [{k: v for k, v in row.items() if k not in ("seconds", "requests_per_second")} for row in rows]


def _simulate(inputs: Path, users: int) -> list[str]:
    return ["simulate", "--config", str(inputs / "world.toml"), "--users", str(users), "--days", "5"]


def simulate(inputs: Path) -> Job:
    """Several blocks of users, lived in two processes."""
    return Job(
        "simulate",
        [*_simulate(inputs, 900), "--processes", "2"],
        files={inputs / "world.toml": WORLD},
        reading=[["stats", "OUT"]],
    )


def samples(inputs: Path) -> Job:
    """Several shards, of logs whose users are dealt out first, as a file holds more of them than a shard."""
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
    """Four epochs of a small model."""
    made = str(inputs / "samples")
    return Job(
        "train",
        ["train", made, "--config", str(inputs / "train.toml")],
        inputs=_samples(inputs),
        files={inputs / "world.toml": WORLD, inputs / "train.toml": TRAINING},
        reading=[["evaluate", "OUT", made]],
        differences=run_differences,
    )


def export(inputs: Path) -> Job:
    """The bundle of a model with a step of its own."""
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
    logs, made = str(inputs / "logs"), str(inputs / "samples")
    limits = ["--candidates", "10", "--exposures", "12", "--page-views", "6"]
    return [[*_simulate(inputs, 120), "--out", logs], ["samples", logs, "--out", made, *limits]]


JOBS: dict[str, Callable[[Path], Job]] = {job.__name__: job for job in (simulate, samples, train, export)}
