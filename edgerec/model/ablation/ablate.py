"""`edgerec ablate`: train and evaluate each model with each seed, then write the table."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgerec import __version__
from edgerec.core.atomic import write_bytes, write_json
from edgerec.core.console import log
from edgerec.core.errors import ConfigurationError
from edgerec.core.resumable import ResumableFolder, resumable_folder
from edgerec.data.samples import TEST, Samples
from edgerec.model.ablation.cells import Cell, load_sums, save_sums, train_cell
from edgerec.model.ablation.config import TREES, AblationConfig
from edgerec.model.ablation.document import ablation_document
from edgerec.model.baselines import baselines_document
from edgerec.model.defaults import resolve
from edgerec.model.progress import has_progress
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
    split: str = TEST,
    oracle: Mapping[str, float] | None = None,
    force: bool = False,
    resume: bool = False,
) -> dict[str, Any]:
    """Train every model with every seed, and write the folder `path`: JSON, Markdown, an HTML page, and each run.

    With `resume`, an interrupted ablation continues after its last finished epoch. It may have other models, and
    another number of seeds. What is finished of them is not trained again. Other finished runs stay in `runs`.

    Args:
        samples: the samples to train on and to rank.
        config: models, settings, seeds.
        path: the folder to write.
        split: the split to rank.
        oracle: GAUC of further rankers by name. If it has `truth`, each row of the table has `gap_closed`. It is 0 if
            the model's GAUC is that of the served order, and 1 if it is that of `truth`.
        force: replace `path`. If there is an unfinished ablation, start again from the beginning.
        resume: continue an unfinished ablation.

    Raises:
        OutputError: `path` exists and `force` is false, or there is an unfinished ablation, or a file cannot be
            written.
        FormatError: there is no unfinished ablation to resume, or it was started with other settings or samples.
        EdgeRecError: as `train`.
    """
    if workers_named():
        raise ConfigurationError(
            "ablate: TF_CONFIG names several workers, but an ablation runs in one process: unset TF_CONFIG"
        )
    config = replace(config, configs={name: resolve(each, samples) for name, each in config.configs.items()})
    where = str(samples.path.resolve())
    # Parts are named for their model and seed, so seeds are no part of the job, and models may be added.
    configs = config.document()["configs"]
    job = {"version": __version__, "samples": where, "digest": samples.digest, "split": split, "configs": configs}
    with resumable_folder(
        path, kind="ablation", job=job, force=force, resume=resume, inputs=[samples.path], growing="configs"
    ) as work:
        (work.path / "runs").mkdir(exist_ok=True)
        # Train all models with one seed before the next seed, so that the models of an unfinished ablation can be
        # compared.
        names = [*config.configs, *([TREES] if config.trees else [])]
        with _keep_from_first_epoch(work):
            cells = [
                _cell(work, samples, config, name, seed, split=split)
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
def _keep_from_first_epoch(work: ResumableFolder) -> Iterator[None]:
    """Keep the partial results if the block fails after the first finished epoch.

    Without this, `resumable_folder` would only keep them after the first finished cell.
    """
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
    split: str,
) -> Cell:
    """Return the cell of the model `name` and of `seed`. Compute it if it is not finished yet."""
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
        cell = train_cell(samples, settings, work.path / "runs" / part, split=split)
    save_sums(cell.sums, sums)
    work.finish(part, cell.note(), [sums])
    log(f"{name}, seed {seed}: GAUC {cell.figures['gauc']:.4f}")
    return cell
