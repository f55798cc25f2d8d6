"""`edgerec personalize evaluate`: the table of all methods on samples, as a folder with JSON and Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgerec.core.atomic import output_folder, write_bytes, write_json
from edgerec.data.samples import Samples
from edgerec.model.personalization.methods import check_methods
from edgerec.model.personalization.reading import read_activations
from edgerec.model.personalization.table import evaluate_methods
from edgerec.model.runs import Run
from edgerec.reports.personalization import markdown

HEAD, TABLE = "personal_evaluation.json", "personal_evaluation.md"


def evaluate_personalization(
    run: Run,
    samples: Samples,
    path: Path,
    *,
    methods: Sequence[str],
    seeds: int,
    folds: int,
    users: int,
    splits: Sequence[str],
    candidate: bool,
    rank: int | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Evaluate methods on samples, and write the folder `path`.

    Args:
        run: the shared model.
        samples: samples that did not train it.
        path: the folder to write.
        methods: names of methods; `shared` and `refit` are always among them.
        seeds: number of seeds. Each one splits the users differently.
        folds: number of parts of the users for each seed.
        users: the largest number of users.
        splits: the splits of the samples.
        candidate: whether patches read the candidate vector, too.
        rank: number of directions of `prior`; None: all.
        force: replace the folder.

    Raises:
        InputError: a method is unknown, or there are too few users.
        OutputError: the folder cannot be written.
        SpecificationError: the samples are not those of the run.
    """
    wanted = check_methods(methods)
    with output_folder(path, force=force, kind="personal_evaluation", inputs=[samples.path]) as folder:
        activations = read_activations(run, samples, splits, users=users)
        document = {
            "schema": 1,
            "kind": "personal_evaluation",
            "version_id": run.head.version_id,
            "samples": str(samples.path),
            "splits": list(splits),
            "folds": folds,
            "reads": "hidden and candidate" if candidate else "hidden",
            **evaluate_methods(
                activations,
                wanted,
                seeds=seeds,
                candidate=candidate,
                rank=rank,
                folds=folds,
                version_id=run.head.version_id,
            ),
        }
        write_json(folder / HEAD, document)
        write_bytes(folder / TABLE, markdown(document).encode())
    return document
