"""`edgerec mix ablate`: train ESAN and its ablations with several seeds, and compare their click rates."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edgerec import __version__
from edgerec.core.arrays import read_members, save_members
from edgerec.core.atomic import write_bytes, write_json
from edgerec.core.console import log
from edgerec.core.documents import read_toml
from edgerec.core.errors import ConfigurationError
from edgerec.core.resumable import ResumableFolder, resumable_folder
from edgerec.data.fitted_run import HEAD as RUN_HEAD
from edgerec.data.samples import Samples
from edgerec.model.config import TrainConfig, check_config, model_tables
from edgerec.model.defaults import resolve
from edgerec.model.evaluation import scorer_in_list
from edgerec.model.progress import has_progress
from edgerec.model.runs import load_run
from edgerec.model.surroundings.document import comparison
from edgerec.model.surroundings.figures import Floats
from edgerec.model.surroundings.shown import ShownCards, logits_of, shown_cards
from edgerec.model.training import train
from edgerec.rankers.registry import MIXED_MODELS
from edgerec.reports.surroundings.table import markdown

HEAD, TABLE = "mix_ablation.json", "mix_ablation.md"
FULL = "esan"


def load_variants(path: Path | None) -> dict[str, TrainConfig]:
    """Read the settings of each variant from a TOML file, as `edgerec ablate` does. None uses the defaults.

    Raises:
        ConfigurationError: the file cannot be read, a key is unknown, or a value is out of range.
    """
    settings = {} if path is None else read_toml(path)
    where = "of the defaults" if path is None else str(path)
    own = model_tables(settings, where=where)
    if "model" in settings or "seed" in settings:
        raise ConfigurationError(
            f"configuration {where}: an ablation sets `model` and `seed` itself: remove them from the configuration"
        )
    return {
        name: check_config({**settings, **own.get(name, {}), "model": name}, where=f"{where}, {name}")
        for name in MIXED_MODELS
    }


def ablate_surroundings(
    samples: Samples,
    configs: Mapping[str, TrainConfig],
    path: Path,
    *,
    seeds: int,
    split: str,
    force: bool = False,
    resume: bool = False,
) -> dict[str, Any]:
    """Train every variant with every seed, and write the folder `path`: JSON, Markdown, and each run.

    Args:
        samples: the samples to train on and to score.
        configs: the settings of each variant.
        path: the folder to write.
        seeds: number of seeds. They are 1, 2, ..., `seeds`.
        split: the split to score.
        force: replace `path`, and start again from the beginning.
        resume: continue an interrupted ablation.

    Raises:
        OutputError: `path` exists and `force` is false, or there is an unfinished ablation.
        FormatError: there is no unfinished ablation to resume, or it was started with other settings or samples.
        EdgeRecError: as `train`.
    """
    cards = shown_cards(samples, split)
    resolved = {name: resolve(each, samples) for name, each in configs.items()}
    job = {
        "version": __version__,
        "samples": str(samples.path.resolve()),
        "digest": samples.digest,
        "split": split,
        "configs": {name: each.model_dump(mode="json") for name, each in resolved.items()},
        "seeds": list(range(1, seeds + 1)),
    }
    with resumable_folder(
        path, kind="mix_ablation", job=job, force=force, resume=resume, inputs=[samples.path]
    ) as work:
        (work.path / "runs").mkdir(exist_ok=True)
        logits: dict[str, list[Floats]] = {name: [] for name in resolved}
        work.finish("begun", {})
        for seed, name in itertools.product(range(1, seeds + 1), resolved):
            config = resolved[name].model_copy(update={"seed": seed})
            logits[name].append(_logits(work, samples, config, f"{name}-seed-{seed}", cards, split=split))
        document = {**job, **comparison(cards, logits, reference=FULL)}
        write_json(work.path / HEAD, {"format": 1, "kind": "mix_ablation", **document})
        write_bytes(work.path / TABLE, markdown(document).encode())
    return document


def _logits(
    work: ResumableFolder, samples: Samples, config: TrainConfig, part: str, cards: ShownCards, *, split: str
) -> Floats:
    """Return the logits of a variant with one seed. Compute them if they are not finished yet."""
    file, run = work.path / f"{part}.npz", work.path / "runs" / part
    if work.finished(part) is None:
        log(part)
        if (run / RUN_HEAD).is_file() and not has_progress(run):
            trained = load_run(run)
        else:
            trained = train(samples, config, run, resume=has_progress(run), force=True)
        found = logits_of(scorer_in_list(trained.model), samples, split, cards, what=part)
        save_members(file, {"logits": found}, what="ablation")
        work.finish(part, {}, [file])
    logits: Floats = read_members(file, ["logits"], what="logits", advice="start again with --force")["logits"]
    return logits.astype(np.float64)
