"""Make samples from logs: one sample for each request. It contains only data that was known when the request was made.

Partitions are read one after the other, so memory does not grow with the logs. They are read twice: to fit vocabularies
and scales on the training period, and to encode. Each partition becomes a shard. An interrupted run can be resumed. It
keeps its complete shards, and its output has the same bytes as that of an uninterrupted run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from edgerec import __version__
from edgerec.core.arguments import check_fraction, check_mapping, check_whole
from edgerec.core.arrays import save_array
from edgerec.core.atomic import check_output, write_json
from edgerec.core.console import log, progress
from edgerec.core.documents import read_object
from edgerec.core.errors import FormatError, InputError
from edgerec.core.faults import first_fault
from edgerec.core.parallel import map_ordered
from edgerec.core.paths import AnyPath, to_path
from edgerec.core.resumable import ResumableFolder, resumable_folder
from edgerec.data.catalogue import ItemIndex
from edgerec.data.encode import Encoding, encode, from_note, to_note
from edgerec.data.fit import count, fit, load_counted, save_counted
from edgerec.data.item_table import ItemTable
from edgerec.data.logs import HEAD as LOGS_HEAD
from edgerec.data.logs import LogsFolder, open_logs
from edgerec.data.partition import TARGET, Partition
from edgerec.data.parts import Parts
from edgerec.data.relation_facts import catalogue_facts
from edgerec.data.samples import FORMAT, HEAD, ITEMS, SHARDS, VOCABULARY, Samples, SamplesHead, open_samples
from edgerec.data.samples_plan import Plan, make_plan
from edgerec.data.schema import ITEM_ID, ORDINAL
from edgerec.data.shard_files import SPLITS, SplitCounts
from edgerec.features.behaviours import Limits
from edgerec.features.kinds.embedding import embeddings
from edgerec.features.relations.facts import Facts
from edgerec.features.spec import FeatureSpec, load_spec, of_origin
from edgerec.features.vocabulary import save_vocabularies


def write_samples(
    logs: AnyPath,
    path: AnyPath,
    *,
    features: AnyPath | None = None,
    limits: Mapping[str, int] | None = None,
    test_from: int | None = None,
    validation_fraction: float = 0.1,
    processes: int = 1,
    target: int = TARGET,
    logs_path: AnyPath | None = None,
    force: bool = False,
    resume: bool = False,
) -> Samples:
    """Make samples from the logs folder `logs` and write them to the folder `path`. On an error, nothing is written.

    Requests are split by time into training, validation (the end of the training period, for early stopping) and test.
    Vocabularies and the means and scales of raw features are fitted on the training split only. The bytes do not depend
    on `processes`. The values do not depend on how logs are divided into files, nor on `target`.

    Args:
        logs: the folder of the logs.
        path: the folder to write.
        features: a feature specification file; default: the file in the logs folder.
        limits: the largest numbers of `candidates`, `exposures` and `page_views` of a request; see `Limits`. If a user
            has more behaviours, the latest ones are kept. A request with more candidates is an error.
        test_from: start of the test period in milliseconds since 1970; default: the value in `logs.json`. If that has
            none, the last fifth of the requests is the test period.
        validation_fraction: share of the requests before the test period that are used for validation.
        processes: number of processes. If it is above 1, a script needs ``if __name__ == "__main__"``.
        target: weight up to which a partition is filled; see `edgerec.data.partition`.
        logs_path: the path of the logs that the samples store; default: `logs`. Give it if the logs will be moved.
        force: replace `path` if it exists, and delete the partial results of an interrupted run.
        resume: continue an interrupted run.

    Raises:
        InputError: a path has another type, a limit or fraction is out of range, or a split has no request.
        FormatError: `logs` is not a folder of logs, or there is no interrupted run to resume.
        LogsError: a table is missing, cannot be read or breaks its schema, or a list is longer than the limit.
        SpecificationError: the specification is not valid, or the data does not fit it.
        OutputError: `path` exists and `force` is false, there are partial results but neither `force` nor `resume` is
            true, one of `path` and `logs` contains the other, or a file cannot be written.
        ResourceError: a process died.
    """
    logs, path = to_path(logs, "write_samples: `logs`"), to_path(path, "write_samples: `path`")
    features = None if features is None else to_path(features, "write_samples: `features`")
    logs_path = logs if logs_path is None else to_path(logs_path, "write_samples: `logs_path`")
    if limits is not None:
        check_mapping(limits, "write_samples: `limits`")
    try:
        checked = Limits.model_validate(dict(limits or {}))
    except ValidationError as error:
        raise InputError(f"samples: {first_fault(error)}") from None
    check_fraction(validation_fraction, "samples: validation_fraction")
    check_whole(processes, "samples: --processes", least=1)
    check_whole(target, "write_samples: `target`", least=1)
    if test_from is not None:
        check_whole(test_from, "samples: --test-from (milliseconds since 1970)")
    inputs = [logs, *([features] if features else [])]
    check_output(path, force=force, kind="samples", inputs=inputs)
    opened = open_logs(logs, spec=load_spec(features) if features else None)
    if test_from is None:
        test_from = opened.head.test_from
    where = str(logs_path.absolute())
    job = {
        "version": __version__,
        "format": FORMAT,
        "logs": _fingerprint(opened),
        "spec": opened.spec.model_dump(mode="json"),
        "limits": checked.model_dump(),
        "test_from": test_from,
        "validation_fraction": validation_fraction,
        "target": target,
        "where": where,
    }
    with resumable_folder(path, kind="samples", job=job, force=force, resume=resume) as work:
        try:
            plan = make_plan(work, opened, test_from, validation_fraction, target=target, processes=processes)
            head = _make(work, opened, plan, checked, processes, where=where)
        except InputError as error:
            if str(work.scratch) in str(error):
                raise FormatError(
                    f"samples: the partial results are damaged ({error}): start again with --force"
                ) from None
            # The user has to change the logs or the settings. Then the partial results cannot be used.
            work.discard()
            raise
        unused = {"requests_with_gaps"} if head.requests_with_gaps is None else None
        write_json(work.path / HEAD, head.model_dump(mode="json", exclude=unused))
    if head.requests_with_gaps:
        log(
            f"{head.requests_with_gaps:,} requests have gaps: the logs lack behaviours that their recurrences would "
            "read (requests_with_gaps)"
        )
    return open_samples(path)


def _fingerprint(logs: LogsFolder) -> list[list[Any]]:
    """Return the name, size and modification time of each file that samples are made from."""
    files = [logs.path / LOGS_HEAD, *logs.catalogue.files, *logs.events.files, *logs.requests.files]
    stats = [(file, file.stat()) for file in files]
    return [[file.relative_to(logs.path).as_posix(), stat.st_size, stat.st_mtime_ns] for file, stat in stats]


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


def _make(
    work: ResumableFolder, logs: LogsFolder, plan: Plan, limits: Limits, processes: int, *, where: str
) -> SamplesHead:
    """Count and encode the partitions that are not done yet. Return the content of `samples.json`."""
    index = ItemIndex.of(logs.items[ITEM_ID].to_numpy())
    facts = catalogue_facts(logs.items, logs.spec)
    arrays: dict[str, Any] = {"ids": index.ids, "table": index.table, "keys": facts.keys, "numbers": facts.numbers}
    for name, array in arrays.items():
        save_array(work.scratch / f"{name}.npy", array, what="samples")
    events, requests = (replace(parts, files=()) for parts in (logs.events, logs.requests))
    tasks = [_Task(number, partition, work) for number, partition in enumerate(plan.partitions)]

    counting = partial(
        _count,
        spec=logs.spec,
        events=events,
        requests=requests,
        limits=limits,
        until=plan.validation_from,
        repeated_items=logs.head.repeated_items,
    )
    notes = progress(map_ordered(counting, tasks, processes=processes), what="fit", total=len(tasks))
    load = partial(load_counted, spec=logs.spec, items=len(logs.items))
    counted = (load(task.counts(), note) for task, note in zip(tasks, notes, strict=True))
    spec, vocabularies = fit(logs.spec, counted, logs.items)
    ItemTable.encode(logs.items, spec, vocabularies).save(work.path / ITEMS)
    save_vocabularies(vocabularies, work.path / VOCABULARY)

    (work.path / SHARDS).mkdir(exist_ok=True)
    # The settings are sent to every process, so they have only the vocabularies that logged values need.
    served = {feature.name: vocabularies[feature.name] for feature in embeddings(of_origin(spec.item, "served"))}
    how = Encoding(spec, events, requests, limits, plan.validation_from, plan.test_from, served)
    encoding = partial(_encode, how=how)
    notes = progress(map_ordered(encoding, tasks, processes=processes), what="encode", total=len(tasks))
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
    note = save_counted(counted, task.counts())
    write_json(file, note)
    return note


def _encode(task: _Task, *, how: Encoding) -> dict[str, Any]:
    part = f"{task.number:05d}"
    note = task.work.finished(part)
    if note is None:
        folder = task.work.path / SHARDS / part
        note = to_note(encode(task.partition, how, items=task.items(), catalogue=task.facts(), folder=folder))
        task.work.finish(part, note, folder.iterdir())
    return note


def _total(counts: Iterable[SplitCounts]) -> SplitCounts:
    rows = [counted.model_dump() for counted in counts]
    return SplitCounts(**{key: sum(row[key] for row in rows) for key in SplitCounts.model_fields})
