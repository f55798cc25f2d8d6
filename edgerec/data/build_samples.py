"""Make samples from logs: one sample for each request. It contains only data that was known when the request was made.

Partitions are read one after the other, so memory does not grow with the logs. They are read twice: to fit vocabularies
and scales on the training period, and to encode. Each partition becomes a shard. An interrupted run can be resumed. It
keeps its complete shards, and its output has the same bytes as that of an uninterrupted run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edgerec import __version__
from edgerec.core.arguments import check_fraction, check_mapping, check_whole
from edgerec.core.atomic import check_output, write_json
from edgerec.core.cluster import open_cluster
from edgerec.core.console import log
from edgerec.core.errors import FormatError, InputError
from edgerec.core.executor import Local
from edgerec.core.faults import first_fault
from edgerec.core.paths import AnyPath, to_path
from edgerec.core.resumable import resumable_folder
from edgerec.core.urls import check_url, is_url
from edgerec.data.fitted_run import open_fitted_run
from edgerec.data.logs import HEAD as LOGS_HEAD
from edgerec.data.logs import LogsFolder, open_logs
from edgerec.data.partition import TARGET
from edgerec.data.samples import FORMAT, HEAD, Samples, open_samples
from edgerec.data.samples_plan import VALIDATION_FRACTION, make_plan
from edgerec.data.samples_shards import make_shards
from edgerec.features.behaviours import Limits
from edgerec.features.spec import load_spec


def write_samples(
    logs: AnyPath,
    path: AnyPath,
    *,
    features: AnyPath | None = None,
    limits: Mapping[str, int] | None = None,
    like: AnyPath | None = None,
    test_from: int | None = None,
    validation_fraction: float | None = None,
    processes: int = 1,
    cluster: str | None = None,
    target: int = TARGET,
    logs_path: AnyPath | None = None,
    upload: Callable[[Path], object] | None = None,
    force: bool = False,
    resume: bool = False,
) -> Samples:
    """Make samples from the logs folder `logs` and write them to the folder `path`. On an error, nothing is written.

    Requests are split by time into training, validation (the end of the training period, for early stopping) and test.
    Vocabularies and the means and scales of raw features are fitted on the training split only. The bytes do not depend
    on `processes` and `cluster`. The values do not depend on how logs are divided into files, nor on `target`.

    Args:
        logs: the folder of the logs.
        path: the folder to write.
        features: a feature specification file; default: the file in the logs folder.
        limits: the largest numbers of `candidates`, `exposures` and `page_views` of a request; see `Limits`. If a user
            has more behaviours, the latest ones are kept. A request with more candidates is an error.
        like: the folder of a run. Its fitted specification, its vocabularies and its limits are used, and nothing is
            fitted. So the run can be evaluated on later logs, or trained further. A split may then be empty.
        test_from: start of the test period in milliseconds since 1970; default: the value in `logs.json`. If that has
            none, the last fifth of the requests is the test period. With `like`, if neither this nor
            `validation_fraction` is given, all requests are in the test period.
        validation_fraction: share of the requests before the test period that are used for validation; default: 0.1.
        processes: number of processes. If it is above 1, a script needs ``if __name__ == "__main__"``.
        cluster: the address of a scheduler of dask.distributed, whose workers do the work in place of `processes`
            (docs/clusters.md). They need the same installation, and the same files under the same paths.
        target: weight up to which a partition is filled; see `edgerec.data.partition`.
        logs_path: the path or the URL of the logs that the samples store; default: `logs`. Give it if the logs will
            be moved.
        upload: is called with the complete folder before it becomes `path`. If it raises, `resume` calls it again.
        force: replace `path` if it exists, and delete the partial results of an interrupted run.
        resume: continue an interrupted run.

    Raises:
        InputError: a path has another type, a limit or fraction is out of range, a split has no request, `like` is
            given with `features` or `limits`, or the URL `logs_path` may contain credentials.
        FormatError: `logs` is not a folder of logs, `like` is not a run, or there is no interrupted run to resume.
        LogsError: a table is missing, cannot be read or breaks its schema, or a list is longer than the limit.
        SpecificationError: the specification is not valid, or the data does not fit it.
        OutputError: `path` exists and `force` is false, there are partial results but neither `force` nor `resume` is
            true, one of `path` and `logs` contains the other, or a file cannot be written.
        ResourceError: a process died, or the cluster cannot be used.
        MissingExtraError: `cluster` is given, and dask.distributed is not installed.
    """
    logs, path = to_path(logs, "write_samples: `logs`"), to_path(path, "write_samples: `path`")
    features = None if features is None else to_path(features, "write_samples: `features`")
    if logs_path is None:
        logs_path = logs
    if isinstance(logs_path, str) and is_url(logs_path):
        check_url(logs_path)
        where = logs_path
    else:
        where = str(to_path(logs_path, "write_samples: `logs_path`").absolute())
    if limits is not None:
        check_mapping(limits, "write_samples: `limits`")
    try:
        checked = Limits.model_validate(dict(limits or {}))
    except ValidationError as error:
        raise InputError(f"samples: {first_fault(error)}") from None
    fitted = None
    if like is not None:
        like = to_path(like, "write_samples: `like`")
        if features is not None or limits is not None:
            raise InputError("write_samples: `like` has features and limits: leave out `features` and `limits`")
        fitted = open_fitted_run(like)
        checked = fitted.limits
        if test_from is None and validation_fraction is None:
            # All requests are in the test period, because no time is smaller.
            test_from = 0
    validation_fraction = VALIDATION_FRACTION if validation_fraction is None else validation_fraction
    check_fraction(validation_fraction, "samples: validation_fraction")
    check_whole(processes, "samples: --processes", least=1)
    check_whole(target, "write_samples: `target`", least=1)
    if cluster is not None and not isinstance(cluster, str):
        raise InputError(f"write_samples: `cluster` should be an address (a string); received {type(cluster).__name__}")
    if test_from is not None:
        check_whole(test_from, "samples: --test-from (milliseconds since 1970)")
    inputs = [logs, *(each for each in (features, like) if each)]
    check_output(path, force=force, kind="samples", inputs=inputs)
    if cluster is not None:
        # Workers have other working folders.
        logs, path = logs.absolute(), path.absolute()
    opened = open_logs(logs, spec=fitted.spec if fitted else load_spec(features) if features else None)
    if test_from is None:
        test_from = opened.head.test_from
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
        **({"like": fitted.version_id} if fitted else {}),
    }
    with (
        open_cluster(cluster) if cluster is not None else nullcontext(Local(processes)) as executor,
        resumable_folder(path, kind="samples", job=job, force=force, resume=resume, upload=upload) as folder,
    ):
        work = folder.with_scratch(job)
        try:
            executor.check_sees(work.scratch)
            plan = make_plan(
                work,
                opened,
                test_from,
                validation_fraction,
                target=target,
                executor=executor,
                allow_empty=fitted is not None,
            )
            head = make_shards(work, opened, plan, checked, fitted, executor, where=where)
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
