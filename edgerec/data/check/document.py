"""Check logs: everything that is wrong with them, at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from edgerec.core.arguments import check_whole
from edgerec.core.console import progress
from edgerec.core.documents import parse_json, read_document
from edgerec.core.errors import EdgeRecError, LogsError, SpecificationError
from edgerec.core.faults import fault_text
from edgerec.core.paths import AnyPath, to_path
from edgerec.core.text import check_utf8
from edgerec.core.together import finish_replacing
from edgerec.data.check.findings import Findings
from edgerec.data.check.scan import SLICE, Counts, Scan
from edgerec.data.check.users import COLUMNS, UserCounts, check_users
from edgerec.data.check.warn import (
    warn_of_columns,
    warn_of_items,
    warn_of_labels,
    warn_of_lists,
    warn_of_times,
    warn_of_users,
)
from edgerec.data.log_faults import Fault, noting
from edgerec.data.logs import (
    ADVICE,
    FORMAT,
    HEAD,
    JOURNAL,
    SPEC,
    TABLES,
    LogsDocument,
    LogsHead,
    check_same_as_of,
    check_sources,
)
from edgerec.data.ordinals import find_store_columns
from edgerec.data.part_files import find_part_files
from edgerec.data.part_stamps import find_stamps
from edgerec.data.parts import Parts, count_rows, find_parts
from edgerec.data.repeated_parts import find_repeats
from edgerec.data.schema import CLICK_COUNT, CLICKED, EVENTS, ITEMS, REQUESTS
from edgerec.features.spec import ADVICE as SPEC_ADVICE
from edgerec.features.spec import CONTEXT, FeatureSpec, load_spec

NO_FEATURES = FeatureSpec.model_construct(
    format=1, name="none", ie_action=(), ipv_action=(), item=(), context=(), relations=()
)
"""Stands for a specification that is not valid, so that the columns of the schema can still be checked."""


def check_logs(logs: AnyPath, *, features: AnyPath | None = None, most: int | None = None) -> dict[str, Any]:
    """Find everything that is wrong with the folder `logs`, and return it as a document (docs/formats.md).

    Errors are what `edgerec samples` or `write_logs` refuses. Warnings are what they accept, but what spoils a model.

    Args:
        logs: the folder of the logs.
        features: a feature specification file; default: the file in the folder.
        most: the document lists at most this many findings, errors first; default: all.

    Raises:
        InputError: a path has another type, or is not UTF-8; or `most` is no whole number of at least 1.
        FormatError: `logs` is not a folder, or has nothing of logs in it.
        OutputError: the disk is full, or `edgerec forget` was killed and its change cannot be completed.
    """
    path = to_path(logs, "check_logs: `logs`")
    if most is not None:
        check_whole(most, "check_logs: `most`", least=1)
    features = None if features is None else to_path(features, "check_logs: `features`")
    check_utf8(path, what="logs")
    if not any((path / name).exists() for name in (HEAD, *TABLES.values())):
        read_document(path / HEAD, LogsDocument, what="logs", format_number=FORMAT, advice=ADVICE)
    finish_replacing(path, keep_plan=True)
    findings = Findings(path)
    document = _head(findings, path)
    spec = _spec(findings, path, features)
    files = {name: findings.take(find_part_files(path / where), name) for name, where in TABLES.items()}
    if document.parts is not None:
        every = [file for table in files.values() for file in table]
        findings.take(find_stamps(path, every, document.parts), HEAD)
    parts, known = _schemas(findings, path, spec, files)
    scan = Scan(findings, spec, repeated_items=document.repeated_items, known=known)
    scan.read_items(files[ITEMS])
    steps = sum(-(-_rows(file) // SLICE[table]) for table in (EVENTS, REQUESTS) for file in files[table])
    for _ in progress(_rest(scan, files), what="check", total=steps):
        pass
    events = parts[EVENTS]
    if document.parts is None and events is not None:
        try:
            findings.take(find_repeats(events), EVENTS)
        except LogsError as error:
            findings.skipped.append(f"whether a file of events is a copy of others: {error}")
    elif document.parts is None:
        findings.skipped.append("whether a file of events is a copy of others, because of errors in its columns")
    counts = scan.counts
    if not counts.rows[REQUESTS] and not findings.has_error(REQUESTS, ""):
        waiting = (path / JOURNAL).is_file()
        wait = "stop `edgerec serve`, or wait some minutes: then it moves the rows to Parquet files (docs/cloud.md)"
        findings.error(
            Fault(
                "samples: the logs have no request",
                expected="at least one request",
                found=f"no request; new rows may still be in {JOURNAL}" if waiting else "no request",
                advice=wait if waiting else "write requests: samples are made from them",
            ),
            REQUESTS,
        )
    _warn(findings, path, document, spec, counts)
    every_finding = [each.to_json() for each in findings]
    return {
        "logs": str(path),
        "errors": findings.count("error"),
        "warnings": findings.count("warning"),
        "rows": counts.rows,
        "skipped": findings.skipped,
        "findings": every_finding if most is None else every_finding[:most],
    }


def _head(findings: Findings, path: Path) -> LogsDocument:
    """Return the content of `logs.json`. If it is not valid, add its faults and return what most logs have."""
    try:
        return read_document(path / HEAD, LogsDocument, what="logs", format_number=FORMAT, advice=ADVICE)
    except EdgeRecError as error:
        _document_faults(findings, path / HEAD, LogsDocument, error, advice=ADVICE)
    return LogsDocument(name="logs")


def _spec(findings: Findings, path: Path, features: Path | None) -> FeatureSpec:
    """Return the specification. If there is none, or if it is not valid, add its faults and return `NO_FEATURES`."""
    file = features or path / SPEC
    try:
        if features is None and not file.is_file():
            raise LogsError(f"logs: {path} has no {SPEC}: write one (docs/features.md), or give one with --features")
        spec = load_spec(file)
    except EdgeRecError as error:
        _document_faults(findings, file, FeatureSpec, error, advice=SPEC_ADVICE)
        findings.skipped.append("columns that only features read, because the specification is not valid")
        return NO_FEATURES
    try:
        check_sources(spec)
        if features is not None and (path / SPEC).is_file():
            check_same_as_of(path, spec)
    except SpecificationError as error:
        findings.refused(error, file.name, expected="features that may be used with these logs", advice=SPEC_ADVICE)
    # A feature that reads the label has its finding. Its columns are no other fault.
    kept = {
        group: tuple(feature for feature in features if feature.source not in (CLICKED, CLICK_COUNT))
        for group, features in (("item", spec.item), (CONTEXT, spec.context))
    }
    return spec.model_copy(update=kept)


def _document_faults(
    findings: Findings, file: Path, model: type[BaseModel], error: EdgeRecError, *, advice: str
) -> None:
    """Add every fault of a JSON document for which reading raised `error`."""
    faults = [str(error)]
    try:
        model.model_validate(parse_json(file.read_bytes()))
    except ValidationError as invalid:
        faults = [fault_text(fault) for fault in invalid.errors(include_url=False)]
    except (OSError, ValueError):
        pass
    for text in faults:
        # Each field is a cause of its own.
        expected = f"a valid {file.name}: {text.partition(' ')[0]}" if len(faults) > 1 else f"a valid {file.name}"
        findings.error(Fault(text, expected=expected, found=text, advice=advice), file.name)


def _schemas(
    findings: Findings, path: Path, spec: FeatureSpec, files: dict[str, list[Path]]
) -> tuple[dict[str, Parts | None], dict[str, set[str]]]:
    """Check the schemas of all files. Return the tables without faults, and the columns with faults of each table."""
    known: dict[str, set[str]] = {name: set() for name in TABLES}
    parts = {}
    for name, where in TABLES.items():
        finding = find_parts(name, path / where, files[name], spec)
        parts[name] = findings.take(noting(finding, known[name]), name)
    events, requests = parts[EVENTS], parts[REQUESTS]
    if events is not None and requests is not None:
        findings.take(find_store_columns(events.columns, requests.columns), EVENTS)
    return parts, known


def _rows(file: Path) -> int:
    try:
        return count_rows(file)
    except LogsError:
        return 0


def _rest(scan: Scan, files: dict[str, list[Path]]) -> Iterator[None]:
    yield from scan.read_events(files[EVENTS])
    yield from scan.read_requests(files[REQUESTS])


def _warn(findings: Findings, path: Path, head: LogsHead, spec: FeatureSpec, counts: Counts) -> None:
    warn_of_labels(findings, counts)
    warn_of_lists(findings, counts)
    warn_of_columns(findings, counts)
    warn_of_times(findings, counts, head)
    warn_of_items(findings, counts)
    wrong = [table for table, columns in COLUMNS.items() if findings.has_error(table, *columns)]
    if wrong:
        findings.skipped.append(
            f"ordinals, and what all rows of a user show, because of errors in {' and '.join(wrong)}"
        )
        return
    users = UserCounts()
    try:
        steps = check_users(path, head, spec, counts, findings, users)
        total = next(steps)
        for _ in progress(steps, what="check users", total=total):
            pass
    except LogsError as error:
        findings.skipped.append(f"ordinals, and what all rows of a user show: {error}")
        return
    warn_of_users(findings, users)
