"""If a model crashes MNN, the crash ends only a child process. The command prints an error of one line."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from edgerec.bundle.guard import guarded
from edgerec.bundle.verify import verify_bundle
from edgerec.cli import cli
from edgerec.core.errors import SessionError
from tests.bundle.restamp import restamp_device
from tests.command_line import edgerec, edgerec_here
from tests.forged import crashing

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture(scope="module")
def forged(bundle_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bundle whose ranking model crashes MNN, with hashes that match."""
    bundle = Path(shutil.copytree(bundle_path, tmp_path_factory.mktemp("forged") / "bundle"))
    model = bundle / "device" / "crban.mnn"
    model.write_bytes(crashing(model.read_bytes()))
    restamp_device(bundle)
    return bundle


def with_a_bundle(group: click.Group, *path: str) -> Iterator[tuple[str, ...]]:
    """Yield the commands that read a bundle."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from with_a_bundle(command, *path, name)
        elif any(isinstance(one, click.Argument) and one.name == "bundle" for one in command.params):
            yield (*path, name)


WITHOUT_MODELS = {("bench", "kv"), ("kit",)}
OF_THE_CLOUD = {("bench", "cloud"), ("embeddings", "publish"), ("versions", "publish")}
"""Commands that do not import MNN."""


@pytest.mark.parametrize(
    "command",
    [
        # All measurements load the models by the same function.
        pytest.param(one, marks=pytest.mark.slow if one[0] == "bench" and one[1] not in ("step", "kv") else ())
        for one in with_a_bundle(cli)
        if one not in OF_THE_CLOUD
    ],
    ids=" ".join,
)
def test_a_model_that_crashes_mnn_is_an_error_of_one_line_in_every_command(
    command: tuple[str, ...], forged: Path, samples_path: Path, tmp_path: Path
) -> None:
    """`verify` runs in a process of its own, so the test also sees what the crashed process itself prints."""
    logs = [samples_path.with_name("logs")]
    more = {
        "replay": logs,
        "explain": logs,
        "demo": ["--catalogue", *logs, "--port", "0", "--no-browser"],
        "kit": ["--out", tmp_path / "kit.tar.gz"],
    }.get(command[0], [])
    run = edgerec if command == ("verify",) else edgerec_here
    done = run(*command, forged, *more)
    if command in WITHOUT_MODELS:
        assert done.returncode == 0, done.stderr
        return
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
    # The result depends on the memory next to the model: most often MNN crashes, sometimes it refuses the model.
    crashed = f"edgerec: bundle: the process that ran the models of {forged} crashed"
    assert done.stderr.startswith(crashed) or "cannot load" in done.stderr


def test_guarded_raises_an_error_if_its_process_crashes(forged: Path, bundle_path: Path) -> None:
    with pytest.raises(SessionError, match=r"the process that ran the models of .* crashed"):
        guarded(verify_bundle, forged)
    assert guarded(verify_bundle, bundle_path)["golden_cases"] == 13
