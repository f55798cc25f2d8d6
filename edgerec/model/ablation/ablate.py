"""`edgerec ablate`: train and evaluate cell by cell, then put the table together."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edgerec import __version__
from edgerec.core.atomic import write_bytes, write_json
from edgerec.core.console import log
from edgerec.core.errors import ConfigurationError
from edgerec.core.hashing import sha256_file
from edgerec.core.resumable import ResumableFolder, resumable_folder
from edgerec.data.samples import TEST, Samples
from edgerec.model.ablation.cells import Cell, load_sums, save_sums, train_cell
from edgerec.model.ablation.config import TREES, AblationConfig
from edgerec.model.ablation.document import ablation_document
from edgerec.model.baselines import baselines_document
from edgerec.model.checkpoints import has_progress
from edgerec.model.workers import workers_named
from edgerec.reports.ablation.page import page
from edgerec.reports.ablation.table import markdown

BEGUN = "begun"
HEAD, PAGE, TABLE = "ablation.json", "ablation.html", "ablation.md"


def ablate(
    samples: Samples,
    config: AblationConfig,
    path: Path,
    *,
    samples_path: Path,
    split: str = TEST,
    oracle: Mapping[str, float] | None = None,
    force: bool = False,
    resume: bool = False,
) -> dict[str, Any]:
    """Train every model with every seed and write the folder `path`: JSON, Markdown, a page, and each run.

    A stopped ablation goes on with `resume` after its last finished epoch.

    Args:
        samples: to train on and to rank.
        config: models, settings, seeds.
        path: the folder to write.
        samples_path: where `samples` stand.
        split: what is ranked.
        oracle: GAUC of further rankers, by name; `truth` gives the share of the gap that each model closes.
        force: replace `path`, and begin anew where unfinished work stands.
        resume: go on with unfinished work.

    Raises:
        OutputError: `path` exists and `force` is false, or unfinished work stands there, or it cannot be written.
        FormatError: there is nothing to resume, or it was begun with other settings or samples.
        EdgeRecError: as `train`.
    """
    if workers_named():
        raise ConfigurationError("ablate: TF_CONFIG names several workers; an ablation is for one process: unset it")
    where = str(samples_path.resolve())
    # The head states the digest of every shard, so its own stands for all of the samples.
    digest = sha256_file(samples_path / "samples.json")
    job = {"version": __version__, "samples": where, "digest": digest, "split": split, **config.document()}
    with resumable_folder(path, kind="ablation", job=job, force=force, resume=resume, inputs=[samples_path]) as work:
        (work.path / "runs").mkdir(exist_ok=True)
        # Seed by seed, so that an early look at what is there compares like with like.
        names = [*config.configs, *([TREES] if config.trees else [])]
        with _kept(work):
            cells = [
                _cell(work, samples, config, name, seed, samples_path=samples_path, split=split)
                for seed, name in itertools.product(config.seeds, names)
            ]
        document = ablation_document(
            cells,
            baselines=baselines_document(samples, split, oracle=oracle),
            config=config,
            samples=where,
        )
        write_json(work.path / HEAD, {"format": 1, "kind": "ablation", **document})
        write_bytes(work.path / TABLE, markdown(document).encode())
        write_bytes(work.path / PAGE, page(document).encode())
    return document


@contextlib.contextmanager
def _kept(work: ResumableFolder) -> Iterator[None]:
    """Let work be kept from the first finished epoch on, and not only from the first finished cell."""
    work.finish(BEGUN, {})
    try:
        yield
    except BaseException:
        runs = work.path / "runs"
        if not any(
            has_progress(runs / name.name[1 : -len(".training")]) for name in runs.glob(".*.training")
        ) and not any(runs.glob("*/run.json")):
            work.discard()
        raise


def _cell(
    work: ResumableFolder,
    samples: Samples,
    config: AblationConfig,
    name: str,
    seed: int,
    *,
    samples_path: Path,
    split: str,
) -> Cell:
    """The cell of model `name`, made now or before."""
    part = f"{name}-seed-{seed}"
    sums = work.path / f"{part}.npz"
    note = work.finished(part)
    if note is not None:
        return Cell(**note, sums=load_sums(sums))
    log(f"{name}, seed {seed} of {len(config.seeds)}")
    if name == TREES:
        from edgerec.model.ablation.trees import tree_cell

        cell = tree_cell(samples, seed=seed, split=split)
    else:
        settings = config.configs[name].model_copy(update={"seed": seed})
        cell = train_cell(samples, settings, work.path / "runs" / part, samples_path=samples_path, split=split)
    save_sums(cell.sums, sums)
    work.finish(part, cell.note(), [sums])
    log(f"{name}, seed {seed}: GAUC {cell.figures['gauc']:.4f}")
    return cell
