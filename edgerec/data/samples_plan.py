"""The plan of samples: which users go into which shard, and where the periods begin."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgerec.core.atomic import write_json
from edgerec.core.documents import read_object
from edgerec.core.errors import InputError
from edgerec.core.resumable import ResumableFolder
from edgerec.data.logs import LogsFolder
from edgerec.data.partition import Partition, partitions, survey
from edgerec.data.segments import Segment

TEST_FRACTION = 0.2
"""The share of requests in the test period, if nothing states where it begins."""


@dataclass(frozen=True)
class Plan:
    """The partitions and the periods of the samples.

    Attributes:
        partitions: the rows of each shard.
        validation_from: where the validation period begins, in milliseconds since 1970.
        test_from: where the test period begins.
    """

    partitions: list[Partition]
    validation_from: int
    test_from: int


def make_plan(
    work: ResumableFolder,
    logs: LogsFolder,
    test_from: int | None,
    validation_fraction: float,
    *,
    target: int,
    processes: int,
) -> Plan:
    """Return the plan of stopped work if there is one. Otherwise partition the logs and store the plan."""
    file = work.scratch / "plan.json"
    known = _known_plan(file)
    if known is not None:
        return known
    seen = survey(logs)
    validation_from, test_from = periods(seen.times, test_from, validation_fraction)
    ranges = work.scratch / "ranges"
    shutil.rmtree(ranges, ignore_errors=True)
    made = partitions(logs, seen, scratch=ranges, target=target, processes=processes)
    rows = [
        [[(str(one.file.absolute()), one.rows, one.offset) for one in part] for part in (p.events, p.requests)]
        for p in made
    ]
    sizes = {str(path.absolute()): path.stat().st_size for path in sorted(ranges.rglob("*.parquet"))}
    write_json(file, {"partitions": rows, "sizes": sizes, "validation_from": validation_from, "test_from": test_from})
    return Plan(made, validation_from, test_from)


def _known_plan(file: Path) -> Plan | None:
    """Read the plan in `file`. Return None if it, or a file of a partition, is missing or damaged."""
    known = read_object(file)
    try:
        if known is None or any(Path(path).stat().st_size != size for path, size in known["sizes"].items()):
            return None
        made = [Partition(*(tuple(map(_segment, part)) for part in tables)) for tables in known["partitions"]]
        return Plan(made, known["validation_from"], known["test_from"])
    except (OSError, KeyError, TypeError, ValueError, AttributeError):
        return None


def _segment(row: tuple[str, int, int | None]) -> Segment:
    return Segment(Path(row[0]), *row[1:])


def periods(times: NDArray[np.int64], test_from: int | None, validation_fraction: float) -> tuple[int, int]:
    """Return where the validation period and the test period begin, in milliseconds.

    Args:
        times: (r,) of all requests, ascending.
        test_from: where the test period begins; default: so that it has `TEST_FRACTION` of the requests.
        validation_fraction: the share of the requests before it that are for validation.

    Raises:
        InputError: a split has no request.
    """
    if not len(times):
        raise InputError("samples: the logs have no request")
    if test_from is None:
        test_from = int(times[min(int(len(times) * (1 - TEST_FRACTION)), len(times) - 1)])
    before = int(np.searchsorted(times, test_from))
    if before < 2 or before == len(times):
        raise InputError(
            f"samples: test period from {test_from} leaves {before} requests before it and "
            f"{len(times) - before} in it: both need some (--test-from, milliseconds since 1970)"
        )
    validation_from = int(times[min(int(before * (1 - validation_fraction)), before - 1)])
    if not np.searchsorted(times, validation_from):
        raise InputError("samples: the train period has no request: choose other periods (--test-from)")
    return validation_from, test_from
