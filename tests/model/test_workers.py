"""Trainings with several processes on one machine, started as a cluster's scheduler starts them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgerec.core.errors import ConfigurationError
from edgerec.data.samples import Samples
from edgerec.model.config import load_config
from edgerec.model.runs import load_run
from edgerec.model.training import train
from edgerec.model.workers import Workers, workers

EDGEREC = "from edgerec.cli import main; main()"
STOPPING = f"""
import time
from edgerec.model import training_loop

shown = training_loop.progress

def progress(items, *, what, **rest):
    while what == "epoch 3":
        time.sleep(1)
    return shown(items, what=what, **rest)

training_loop.progress = progress
{EDGEREC}
"""
"""A program that trains two epochs and then waits until it is killed."""
SETTINGS = """
model = "dlcm"
batch_size = 64
units = 4
layers = 1
unknown_rate = 0.0
compiled = false
epochs = {epochs}
"""


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@contextlib.contextmanager
def started(arguments: list[str], count: int, *, last: str = EDGEREC) -> Iterator[list[subprocess.Popen[str]]]:
    """Start `edgerec` in `count` workers. The last worker runs the code `last`. All are killed when the block ends."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
    found = []
    try:
        for index in range(count):
            cluster = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
            environment = {**os.environ, "TF_CONFIG": json.dumps(cluster) if count > 1 else ""}
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
            command = [sys.executable, "-c", last if index == count - 1 else EDGEREC, *arguments]
            found.append(subprocess.Popen(command, env=environment, **pipes))  # type: ignore[call-overload]
        yield found
    finally:
        for process in found:
            process.kill()
            process.communicate()


def finish(processes: list[subprocess.Popen[str]]) -> None:
    for process in processes:
        _, said = process.communicate()
        assert process.returncode == 0, said


def history(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.usefixtures("eager")
@pytest.mark.slow
@pytest.mark.parametrize("lost", [False, True])
def test_two_workers_train_the_same_model_as_one(
    samples: Samples, samples_path: Path, tmp_path: Path, lost: bool
) -> None:
    """If `lost`, one worker is killed and the training is resumed. The model must be the same."""
    # The training that loses a worker is stopped in its third epoch.
    epochs = 3 if lost else 2
    (tmp_path / "c.toml").write_text(SETTINGS.format(epochs=epochs))
    arguments = ["train", str(samples_path), "--out", str(tmp_path / "run"), "--config", str(tmp_path / "c.toml")]
    if lost:
        _lose_one(arguments, tmp_path / ".run.training" / "progress.json")
        arguments.append("--resume")
    with started(arguments, 2) as processes:
        finish(processes)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.toml", "run"]

    alone = train(samples, load_config(tmp_path / "c.toml", {}), tmp_path / "alone", samples_path=samples_path)
    rows = history(tmp_path / "run")
    assert [row["epoch"] for row in rows] == [*range(1, epochs + 1)]
    for one, other in zip(history(tmp_path / "alone"), rows, strict=True):
        assert other["loss"] == pytest.approx(one["loss"], abs=1e-3)
        assert other["validation_gauc"] == pytest.approx(one["validation_gauc"], abs=1e-2)
    for one, other in zip(alone.model.get_weights(), load_run(tmp_path / "run").model.get_weights(), strict=True):
        np.testing.assert_allclose(other, one, atol=1e-3)


def _lose_one(arguments: list[str], progress: Path) -> None:
    """Train two epochs, then kill one of two workers. The other worker must end with an error that reports the loss."""
    with started(arguments, 2, last=STOPPING) as (first, second):
        while not (progress.is_file() and json.loads(progress.read_text())["epoch"] == 2):
            assert first.poll() is None, first.communicate()[1]
            time.sleep(0.05)
        second.send_signal(signal.SIGKILL)
        _, said = first.communicate()
    assert first.returncode == 1, said
    assert "lost another worker" in said.splitlines()[-1]
    assert "--resume" in said.splitlines()[-1]
    assert "Traceback" not in said
    assert json.loads(progress.read_text())["epoch"] == 2


@pytest.mark.slow
def test_a_killed_and_resumed_training_equals_an_uninterrupted_one(samples_path: Path, tmp_path: Path) -> None:
    """On one machine, with compiled kernels, the weights are equal bit by bit."""
    (tmp_path / "c.toml").write_text("batch_size = 32\nunits = 4\nlayers = 1\nepochs = 4\npatience = 4\n")
    base = ["train", str(samples_path), "--config", str(tmp_path / "c.toml"), "--out"]
    with started([*base, str(tmp_path / "unbroken")], 1) as processes:
        finish(processes)
    progress = tmp_path / ".broken.training" / "progress.json"
    with started([*base, str(tmp_path / "broken")], 1, last=STOPPING) as (process,):
        while not (progress.is_file() and json.loads(progress.read_text())["epoch"] == 2):
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert json.loads(progress.read_text())["epoch"] == 2
    assert not (tmp_path / "broken").exists()
    with started([*base, str(tmp_path / "broken"), "--resume"], 1) as processes:
        finish(processes)
    one, other = (load_run(tmp_path / name) for name in ("unbroken", "broken"))
    assert one.head.version_id[-12:] == other.head.version_id[-12:]
    for mine, theirs in zip(one.model.get_weights(), other.model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "should have TensorFlow's format"),
        ("[]", "should have TensorFlow's format"),
        ('{"cluster": {"worker": ["a:1"]}}', "should have TensorFlow's format"),
        (
            '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 3}}',
            "this process should be one of them",
        ),
        ('{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "ps", "index": 0}}', "only workers"),
    ],
)
def test_a_faulty_cluster_gives_an_error_of_one_line(monkeypatch: pytest.MonkeyPatch, text: str, said: str) -> None:
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ConfigurationError, match=said):
        workers()


def test_a_single_worker_needs_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("", '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}'):
        monkeypatch.setenv("TF_CONFIG", text)
        found = workers()
        assert type(found) is Workers
        assert (found.index, found.count, found.chief) == (0, 1, True)
        assert found.sum([1.5]) == [1.5]
        found.barrier()
        found.check_equal("0123456789ab")
