"""If files of an interrupted `samples` command are damaged, --resume repairs them or its error asks for --force."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edgerec.core.errors import EdgeRecError
from edgerec.data import samples_shards
from edgerec.data.build_samples import write_samples
from edgerec.data.logs import write_logs
from tests.quicker import some_of
from tests.synthetic import make_logs

LIMITS = {"candidates": 10, "exposures": 20, "page_views": 8}


def make(root: Path, *, force: bool = False, resume: bool = False) -> None:
    write_samples(root / "logs", root / "samples", limits=LIMITS, target=400, force=force, resume=resume)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the complete samples (`whole`) and with the work folder (`work`) after a stop.

    The command was stopped after its first shard.
    """
    root = tmp_path_factory.mktemp("stopped")
    write_logs(make_logs(), root / "logs")
    make(root)
    (root / "samples").rename(root / "whole")
    encode, calls = samples_shards.encode, iter([False, True])

    def stopping(*args: object, **more: object) -> object:
        if next(calls):
            raise KeyboardInterrupt
        return encode(*args, **more)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(samples_shards, "encode", stopping)
        with pytest.raises(KeyboardInterrupt):
            make(root)
    (root / ".samples.samples").rename(root / "work")
    return root


@pytest.mark.parametrize(
    "name",
    [
        "job.json",
        "parts/00000.json",
        "output/shards/00000/train.parquet",
        "scratch/*/plan.json",
        "scratch/*/counts-00000.json",
        "scratch/*/counts-00001.npz",
        "scratch/*/ranges-*",
        "scratch/*/ranges-*/00000/events-00000.parquet",
    ],
)
@pytest.mark.parametrize("how", some_of(["gone", "cut", "garbage"], fast=("gone", "garbage")))
def test_resume_or_force_repairs_any_damage(stopped: Path, name: str, how: str) -> None:
    shutil.rmtree(stopped / "samples", ignore_errors=True)
    shutil.rmtree(stopped / ".samples.samples", ignore_errors=True)
    work = Path(shutil.copytree(stopped / "work", stopped / ".samples.samples"))
    [place] = work.glob(name)
    if place.is_dir():
        shutil.rmtree(place)
    elif how == "gone":
        place.unlink()
    else:
        whole = place.read_bytes()
        place.write_bytes(whole[: len(whole) // 2] if how == "cut" else b"\xff" * len(whole))
    said = ""
    try:
        make(stopped, resume=True)
    except EdgeRecError as error:
        said = str(error)
    if "leave out --resume" in said:
        make(stopped)
    elif said:
        assert "start again with --force" in said
        make(stopped, force=True)
    if not said and (how, name) == ("garbage", "output/shards/00000/train.parquet"):
        return  # --resume checks only the size of this file. Readers of the samples check its hash.
    assert content(stopped / "samples") == content(stopped / "whole")


def test_a_file_at_the_path_of_the_work_folder_is_an_error(stopped: Path) -> None:
    shutil.rmtree(stopped / "samples", ignore_errors=True)
    shutil.rmtree(stopped / ".samples.samples", ignore_errors=True)
    (stopped / ".samples.samples").write_text("mine")
    with pytest.raises(EdgeRecError, match=r"\.samples\.samples.*but it is a file: remove it"):
        make(stopped)
    (stopped / ".samples.samples").unlink()
