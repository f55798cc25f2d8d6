"""Fit and encode the partitions of logs, in one or several processes. Each partition becomes a shard of samples."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgerec.core.arrays import save_array
from edgerec.core.atomic import write_json
from edgerec.core.console import progress
from edgerec.core.documents import read_object
from edgerec.core.executor import Executor
from edgerec.core.resumable import ResumableFolder
from edgerec.data.catalogue import ItemIndex
from edgerec.data.encode import Encoding, encode, from_note, to_note
from edgerec.data.fit import count, fit, load_counted, save_counted
from edgerec.data.fitted_run import FittedRun
from edgerec.data.item_table import ItemTable
from edgerec.data.logs import LogsFolder
from edgerec.data.partition import Partition
from edgerec.data.parts import Parts
from edgerec.data.relation_facts import catalogue_facts
from edgerec.data.samples import ITEMS, SHARDS, VOCABULARY, SamplesHead
from edgerec.data.samples_plan import Plan
from edgerec.data.schema import ITEM_ID, ORDINAL
from edgerec.data.shard_files import SPLITS, SplitCounts
from edgerec.features.behaviours import Limits
from edgerec.features.kinds.embedding import embeddings
from edgerec.features.relations.facts import Facts
from edgerec.features.spec import FeatureSpec, of_origin
from edgerec.features.vocabulary import Vocabulary
from edgerec.features.vocabulary_files import save_vocabularies


@dataclass(frozen=True)
class _Task:
    """A partition that is counted or encoded, and the folder of the partial results."""

    number: int
    partition: Partition
    work: ResumableFolder

    def items(self) -> ItemIndex:
        # The arrays are memory-mapped, so all processes share one copy.
        return ItemIndex(*(np.load(self.work.scratch / f"{name}.npy", mmap_mode="r") for name in ("ids", "table")))

    def facts(self) -> Facts:
        return Facts(*(np.load(self.work.scratch / f"{name}.npy", mmap_mode="r") for name in ("keys", "numbers")))

    def counts(self) -> Path:
        return self.work.scratch / f"counts-{self.number:05d}.npz"


def make_shards(
    work: ResumableFolder,
    logs: LogsFolder,
    plan: Plan,
    limits: Limits,
    fitted: FittedRun | None,
    executor: Executor,
    *,
    where: str,
) -> SamplesHead:
    """Fit unless `fitted` is given, and encode the partitions that are not done yet.

    Args:
        work: the folder of the samples, and the folder of the partial results.
        logs: the logs. Their specification is the fitted one if `fitted` is given.
        plan: the partitions and the periods.
        limits: the largest lengths.
        fitted: the run whose fitted features and vocabularies are used.
        executor: where partitions are counted and encoded.
        where: the path of the logs that the samples store.

    Returns:
        The content of `samples.json`.

    Raises:
        FormatError: a file of the partial results is damaged.
        LogsError, SpecificationError, OutputError, ResourceError: see `edgerec.data.build_samples.write_samples`.
    """
    index = ItemIndex.of(logs.items[ITEM_ID].to_numpy())
    facts = catalogue_facts(logs.items, logs.spec)
    for old in work.scratch.glob("attempt-*"):
        shutil.rmtree(old, ignore_errors=True)
    arrays: dict[str, Any] = {"ids": index.ids, "table": index.table, "keys": facts.keys, "numbers": facts.numbers}
    for name, array in arrays.items():
        save_array(work.scratch / f"{name}.npy", array, what="samples")
    tasks = [_Task(number, partition, work) for number, partition in enumerate(plan.partitions)]
    spec, vocabularies = (
        (fitted.spec, dict(fitted.vocabularies)) if fitted else _fit(tasks, logs, plan, limits, executor)
    )
    ItemTable.encode(logs.items, spec, vocabularies).save(work.path / ITEMS)
    save_vocabularies(vocabularies, work.path / VOCABULARY)

    (work.path / SHARDS).mkdir(exist_ok=True)
    # The settings are sent to every process, so they have only the vocabularies that logged values need.
    served = {feature.name: vocabularies[feature.name] for feature in embeddings(of_origin(spec.item, "served"))}
    how = Encoding(
        spec,
        *_without_files(logs),
        limits,
        plan.validation_from,
        plan.test_from,
        served,
        # Counting has checked repeated items.
        repeated_items=logs.head.repeated_items or fitted is None,
    )
    encoding = partial(_encode, how=how)
    notes = progress(executor.map_ordered(encoding, tasks), what="encode", total=len(tasks))
    done = [from_note(note) for note in notes]
    return SamplesHead(
        name=logs.head.name,
        logs=where,
        spec=spec,
        limits=limits,
        validation_from=plan.validation_from,
        test_from=plan.test_from,
        users=sum(each.users for each in done),
        requests_with_gaps=sum(each.with_gaps for each in done) if ORDINAL in logs.events.columns else None,
        splits={split: _total(each.entry.splits[split] for each in done) for split in SPLITS},
        shards=[each.entry for each in done],
    )


def _fit(
    tasks: Sequence[_Task], logs: LogsFolder, plan: Plan, limits: Limits, executor: Executor
) -> tuple[FeatureSpec, dict[str, Vocabulary]]:
    """Count the partitions that are not counted yet. Return the fitted specification and the vocabularies."""
    events, requests = _without_files(logs)
    counting = partial(
        _count,
        spec=logs.spec,
        events=events,
        requests=requests,
        limits=limits,
        until=plan.validation_from,
        repeated_items=logs.head.repeated_items,
    )
    notes = progress(executor.map_ordered(counting, tasks), what="fit", total=len(tasks))
    load = partial(load_counted, spec=logs.spec, items=len(logs.items))
    counted = (load(task.counts(), note) for task, note in zip(tasks, notes, strict=True))
    return fit(logs.spec, counted, logs.items)


def _without_files(logs: LogsFolder) -> tuple[Parts, Parts]:
    """Return the tables of events and requests without their files, which may be many. Tasks name those they read."""
    return replace(logs.events, files=()), replace(logs.requests, files=())


def _count(
    task: _Task,
    *,
    spec: FeatureSpec,
    events: Parts,
    requests: Parts,
    limits: Limits,
    until: int,
    repeated_items: bool,
) -> dict[str, Any]:
    # These counts are not part of the output. They are stored so that a resumed run need not count again.
    file = task.counts().with_suffix(".json")
    known = read_object(file)
    if known is not None and task.counts().is_file():
        return known
    counted = count(
        task.partition,
        spec=spec,
        events=events,
        requests=requests,
        items=task.items(),
        catalogue=task.facts(),
        limits=limits,
        until=until,
        repeated_items=repeated_items,
    )
    with _attempt(task) as attempt:
        note = save_counted(counted, attempt / "counts.npz")
        (attempt / "counts.npz").replace(task.counts())
    write_json(file, note)
    return note


def _encode(task: _Task, *, how: Encoding) -> dict[str, Any]:
    part = f"{task.number:05d}"
    note = task.work.finished(part)
    if note is None:
        folder = task.work.path / SHARDS / part
        with _attempt(task) as attempt:
            own = attempt / part
            note = to_note(encode(task.partition, how, items=task.items(), catalogue=task.facts(), folder=own))
            folder.mkdir(exist_ok=True)
            files = [file.replace(folder / file.name) for file in own.iterdir()]
        task.work.finish(part, note, files)
    return note


@contextlib.contextmanager
def _attempt(task: _Task) -> Iterator[Path]:
    """Yield a new folder for the files of a task. They are renamed when all of them are written.

    On a cluster, a task may run twice at the same time: a worker that was thought dead may still work. Both write the
    same bytes, so it does not matter which of them renames its files last. If the command ended meanwhile, the scratch
    folder does not exist, and the task fails before it can change anything.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"attempt-{task.number:05d}-", dir=task.work.scratch))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _total(counts: Iterable[SplitCounts]) -> SplitCounts:
    rows = [counted.model_dump() for counted in counts]
    return SplitCounts(**{key: sum(row[key] for row in rows) for key in SplitCounts.model_fields})
