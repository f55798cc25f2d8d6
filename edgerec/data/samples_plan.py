"""The plan of samples: which users are in which shard, and when the periods start."""

from __future__ import annotations

import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgerec.core.atomic import write_json
from edgerec.core.documents import read_object
from edgerec.core.errors import InputError
from edgerec.core.executor import Executor
from edgerec.core.resumable import ResumableFolder
from edgerec.data.logs import LogsFolder
from edgerec.data.partition import Partition, partitions, survey
from edgerec.data.segments import Segment

TEST_FRACTION = 0.2
"""The share of requests in the test period, if neither an argument nor the logs give its start."""
VALIDATION_FRACTION = 0.1
"""The share of the requests before the test period that are used for validation, if no argument gives it."""


@dataclass(frozen=True)
class Plan:
    """The partitions and the periods of the samples.

    Attributes:
        partitions: the users of each shard.
        validation_from: start of the validation period in milliseconds since 1970.
        test_from: start of the test period in milliseconds since 1970.
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
    executor: Executor,
    allow_empty: bool = False,
) -> Plan:
    """Return the plan of an interrupted run if there is one. Otherwise partition the logs and store the plan.

    `test_from`, `validation_fraction` and `allow_empty` are as in `periods`.
    """
    file = work.scratch / "plan.json"
    known = _known_plan(file)
    if known is not None:
        return known
    seen = survey(logs)
    validation_from, test_from = periods(seen.times, test_from, validation_fraction, allow_empty=allow_empty)
    for old in work.scratch.glob("ranges-*"):
        shutil.rmtree(old, ignore_errors=True)
    # With a new name: on a cluster, a task of an interrupted command may still write into the old folder.
    ranges = work.scratch / f"ranges-{secrets.token_hex(4)}"
    made = partitions(logs, seen, scratch=ranges, target=target, executor=executor)
    rows = [
        [[(str(one.file.absolute()), one.rows, one.offset) for one in part] for part in (p.events, p.requests)]
        for p in made
    ]
    sizes = {str(path.absolute()): path.stat().st_size for path in sorted(ranges.rglob("*.parquet"))}
    write_json(file, {"partitions": rows, "sizes": sizes, "validation_from": validation_from, "test_from": test_from})
    return Plan(made, validation_from, test_from)


def _known_plan(file: Path) -> Plan | None:
    """Read the plan from `file`. Return None if the plan or a file of a partition is missing or damaged."""
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


def periods(
    times: NDArray[np.int64], test_from: int | None, validation_fraction: float, *, allow_empty: bool = False
) -> tuple[int, int]:
    """Return the start of the validation period and the start of the test period, in milliseconds since 1970.

    Args:
        times: (r,), the times of all requests, ascending.
        test_from: start of the test period; default: the period has `TEST_FRACTION` of the requests.
        validation_fraction: share of the requests before the test period that are used for validation.
        allow_empty: whether a split may have no request.

    Raises:
        InputError: there is no request, or a split has none and `allow_empty` is false.
    """
    if not len(times):
        raise InputError("samples: the logs have no request")
    if test_from is None:
        test_from = int(times[min(int(len(times) * (1 - TEST_FRACTION)), len(times) - 1)])
    before = int(np.searchsorted(times, test_from))
    if not allow_empty and (before < 2 or before == len(times)):
        raise InputError(
            f"samples: a test period from {test_from} on has {len(times) - before} requests, and {before} are before "
            "it; at least 1 and 2 are needed: choose another --test-from (milliseconds since 1970)"
        )
    if not before:
        return test_from, test_from
    validation_from = int(times[min(int(before * (1 - validation_fraction)), before - 1)])
    if not allow_empty and not np.searchsorted(times, validation_from):
        raise InputError("samples: the training period has no request: choose another --test-from")
    return validation_from, test_from
