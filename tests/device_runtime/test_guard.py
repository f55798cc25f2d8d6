"""A model that crashes MNN is one line to whoever gives it to a command, and the end of a child process alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from edgerec.bundle.verify import verify_bundle
from edgerec.cli import cli
from edgerec.core.errors import SessionError
from edgerec.device_runtime.guard import guarded
from tests.bundle.restamp import restamp_device
from tests.forged import crashing

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture(scope="module")
def forged(bundle_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with a ranking model that crashes MNN, stamped anew."""
    bundle = Path(shutil.copytree(bundle_path, tmp_path_factory.mktemp("forged") / "bundle"))
    model = bundle / "device" / "crban.mnn"
    model.write_bytes(crashing(model.read_bytes()))
    restamp_device(bundle)
    return bundle


def with_a_bundle(group: click.Group, *path: str) -> Iterator[tuple[str, ...]]:
    """The commands that read a bundle."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from with_a_bundle(command, *path, name)
        elif any(isinstance(one, click.Argument) and one.name == "bundle" for one in command.params):
            yield (*path, name)


@pytest.mark.parametrize("command", list(with_a_bundle(cli)), ids=" ".join)
def test_no_command_dies_of_a_forged_model(command: tuple[str, ...], forged: Path) -> None:
    more = ["--rounds", "1"] if command[0] == "bench" else []
    line = [sys.executable, "-m", "edgerec", *command, str(forged), *more]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if command == ("bench", "kv"):  # reads embedding tables alone
        assert done.returncode == 0, done.stderr
        return
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
    assert done.stderr.startswith(f"edgerec: bundle: MNN, or a peer of it, crashed on the models of {forged}")


def test_a_guarded_function_is_an_error_of_this_process(forged: Path, bundle_path: Path) -> None:
    with pytest.raises(SessionError, match="crashed on the models"):
        guarded(verify_bundle, forged)
    assert guarded(verify_bundle, bundle_path)["golden_cases"] == 13
