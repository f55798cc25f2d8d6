"""Compute the as-of columns of a folder of logs, in flat memory.

Users are partitioned (`edgerec.data.partition`). Keys with a user need only the rows of one partition. The facts of all
other keys are sorted in files first (`sorted_files`), and each partition searches the mapped files.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from edgerec.core.atomic import output_folder
from edgerec.core.console import progress
from edgerec.core.errors import InputError
from edgerec.core.executor import Local
from edgerec.core.leftovers import temporary_folder
from edgerec.core.parallel import map_ordered
from edgerec.core.paths import AnyPath, to_path
from edgerec.data.as_of.columns import AbsentColumns, half_life
from edgerec.data.as_of.facts import WEIGHT, Facts, all_facts
from edgerec.data.as_of.fill import fill_columns
from edgerec.data.as_of.keys import ItemKeys
from edgerec.data.as_of.sorted_files import MappedTimeline, Run, merge_runs, write_run
from edgerec.data.logs import SPEC, TABLES, LogsFolder, open_logs, write_heads, write_table
from edgerec.data.partition import TARGET, Partition, load_partition, partitions, survey
from edgerec.data.parts import Parts, read_parts
from edgerec.data.schema import EVENTS, ITEM_ID, ITEMS, REQUESTS, TIME, columns_to_read
from edgerec.features.spec import FeatureSpec, load_spec


def write_as_of(
    logs: AnyPath,
    path: AnyPath,
    *,
    features: AnyPath | None = None,
    processes: int = 1,
    target: int = TARGET,
    force: bool = False,
) -> dict[str, Any]:
    """Write the logs of the folder `logs` to the folder `path`, with the as-of columns that they lack.

    Columns that the logs have are copied as they are. The values do not depend on how logs are divided into files, nor
    on `processes` and `target`. On an error, nothing is written.

    Args:
        logs: the folder of the logs.
        path: the folder to write.
        features: a feature specification file, which is copied to `path`; default: the file in the logs folder.
        processes: number of processes.
        target: weight up to which a partition is filled; see `edgerec.data.partition`.
        force: replace `path` if it exists.

    Returns:
        The names of the computed `columns`, and the numbers of `requests`, `exposures`, `clicks` and `users`.

    Raises:
        InputError: a path has another type, `processes` is below 1, or the logs have all columns.
        FormatError: `logs` is not a folder of logs.
        LogsError: a table is missing, cannot be read or breaks its schema.
        SpecificationError: the specification is not valid.
        OutputError: `path` exists and `force` is false, or a file cannot be written.
        ResourceError: a process died.
    """
    logs, path = to_path(logs, "write_as_of: `logs`"), to_path(path, "write_as_of: `path`")
    features = logs / SPEC if features is None else to_path(features, "write_as_of: `features`")
    if processes < 1:
        raise InputError(f"as-of: --processes should be at least 1; received {processes}")
    with output_folder(path, force=force, kind="logs", inputs=[logs, features]) as folder:
        spec = load_spec(features)
        opened, absent = open_without(logs, spec)
        if not absent:
            raise InputError(
                f"as-of: there is no column to compute: {logs} has every column for which {features} gives as_of"
            )
        with temporary_folder(path.resolve(), "parts") as scratch:
            counts = fill_folder(opened, spec, absent, folder, scratch=scratch, processes=processes, target=target)
    return {"columns": absent.names, **counts}


def open_without(logs: Path, spec: FeatureSpec) -> tuple[LogsFolder, AbsentColumns]:
    """Open a folder of logs that may lack the as-of columns of `spec`. Return it with the columns that it lacks.

    Raises:
        FormatError, LogsError, SpecificationError: as `open_logs`.
    """
    every = AbsentColumns.of(spec, events=(), requests=())
    opened = open_logs(logs, spec=every.without(spec))
    absent = AbsentColumns.of(spec, events=opened.events.schema, requests=opened.requests.schema)
    if absent.names != every.names:
        opened = open_logs(logs, spec=absent.without(spec))
    return opened, absent


def fill_folder(
    logs: LogsFolder,
    spec: FeatureSpec,
    absent: AbsentColumns,
    folder: Path,
    *,
    scratch: Path,
    processes: int = 1,
    target: int = TARGET,
) -> dict[str, int]:
    """Write `logs` with the columns `absent` to the empty folder `folder`. Return the counts of the logs.

    Args:
        logs: what `open_without` returns.
        spec: the complete specification.
        absent: what `open_without` returns.
        folder: the folder to write.
        scratch: an empty folder for temporary files. They take about as much disk space as the logs.
        processes, target: as for `write_as_of`.

    Raises:
        LogsError: a file cannot be read, or a table breaks its schema.
        OutputError: the disk is full.
        ResourceError: a process died.
    """
    logs = replace(
        logs,
        items=read_parts(logs.catalogue).sort(ITEM_ID),
        events=replace(logs.events, columns=tuple(logs.events.schema)),
        requests=replace(logs.requests, columns=tuple(logs.requests.schema)),
    )
    parts = partitions(logs, survey(logs), scratch=scratch / "users", target=target, executor=Local(processes))
    tasks = list(enumerate(parts))
    timelines = _sort_facts(logs, absent, tasks, scratch, processes)
    for name in (EVENTS, REQUESTS):
        (folder / TABLES[name]).mkdir()
    fill = partial(_fill, how=_Filling(logs, absent, timelines, folder))
    counts: Counter[str] = Counter()
    for counted in progress(map_ordered(fill, tasks, processes=processes), what="as-of", total=len(tasks)):
        counts.update(counted)
    write_table(logs.items, folder / TABLES[ITEMS])
    write_heads(folder, logs.head, spec)
    return dict(counts)


_Task = tuple[int, Partition]


def _sort_facts(
    logs: LogsFolder, absent: AbsentColumns, tasks: list[_Task], scratch: Path, processes: int
) -> dict[Facts, MappedTimeline]:
    """Sort the facts whose keys have no user in files in `scratch`."""
    wanted = [facts for facts in all_facts(absent.computed) if not facts.by_user]
    if not wanted:
        return {}
    sort = partial(_write_runs, logs=_only(logs, wanted), wanted=wanted, scratch=scratch)
    extremes = list(progress(map_ordered(sort, tasks, processes=processes), what="sort", total=len(tasks)))
    made = {}
    for index, facts in enumerate(wanted):
        half_lives = dict.fromkeys(each for as_of in absent.computed for each in half_life(as_of, facts))
        runs = [_run(scratch, index, number, facts) for number, _ in tasks]
        ranges = [each[index] for each in extremes]
        made[facts] = merge_runs(runs, ranges, scratch / f"sorted-{index}", half_lives)
    return made


def _only(logs: LogsFolder, wanted: list[Facts]) -> LogsFolder:
    """Return the logs with the columns that facts need, and a specification without features."""
    spec = logs.spec.model_copy(update=dict.fromkeys(logs.spec.groups, ()))
    used = {column for facts in wanted for column in facts.columns()}

    def only(parts: Parts) -> Parts:
        read = columns_to_read(parts.name, spec) | used
        return replace(parts, columns=tuple(column for column in parts.schema if column in read))

    return replace(logs, spec=spec, events=only(logs.events), requests=only(logs.requests))


def _write_runs(task: _Task, *, logs: LogsFolder, wanted: list[Facts], scratch: Path) -> list[tuple[int, int] | None]:
    number, partition = task
    users_logs, keys = load_partition(logs, partition), ItemKeys(logs.items)
    extremes = []
    for index, facts in enumerate(wanted):
        rows = facts.rows(users_logs.events, users_logs.requests)
        numbers, times = keys.of(facts.by, rows[ITEM_ID].to_numpy()), rows[TIME].to_numpy()
        has, weights = numbers >= 0, rows[WEIGHT].to_numpy() if facts.weight is not None else None
        run = _run(scratch, index, number, facts)
        extremes.append(write_run(run, numbers[has], times[has], None if weights is None else weights[has]))
    return extremes


def _run(scratch: Path, index: int, number: int, facts: Facts) -> Run:
    return Run(scratch / f"facts-{index}-{number:05d}.npy", facts.weight is not None)


@dataclass(frozen=True)
class _Filling:
    logs: LogsFolder
    absent: AbsentColumns
    timelines: dict[Facts, MappedTimeline]
    folder: Path


def _fill(task: _Task, *, how: _Filling) -> dict[str, int]:
    """Fill the columns of a partition, and write it. Return its counts."""
    number, partition = task
    logs = load_partition(how.logs, partition)
    timelines = {facts: files.map() for facts, files in how.timelines.items()}
    events, requests = fill_columns(logs.events, logs.requests, logs.items, how.absent, timelines)
    for name, table in ((EVENTS, events), (REQUESTS, requests)):
        write_table(table, how.folder / TABLES[name] / f"part-{number:05d}.parquet")
    return logs.counts()
