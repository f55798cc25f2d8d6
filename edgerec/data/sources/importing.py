"""Import: read a source and write its logs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgerec.core.atomic import check_output
from edgerec.core.errors import LogsError, PluginError
from edgerec.core.leftovers import temporary_folder
from edgerec.core.plugins import errors_of
from edgerec.core.text import check_utf8
from edgerec.data.logs import LogsHead
from edgerec.data.sources.logs_writer import logs_writer
from edgerec.data.sources.source import Source, UserLogs


def import_source(
    source_class: type[Source], folder: Path, out: Path, *, force: bool = False, **options: Any
) -> dict[str, Any]:
    """Write the logs of a data set to the folder `out`. On an error, nothing is written.

    Args:
        source_class: the source of the data set.
        folder: the folder of its files.
        out: the folder to write. Temporary files are beside it.
        force: replace `out` if it exists.
        options: values of more fields of `source_class`.

    Returns:
        The numbers of `requests`, `exposures`, `clicks` and `users`, and the notes of the source.

    Raises:
        SpecificationError: the feature specification of the source is not valid. No file of the data set is read then.
        LogsError: a file of the data set is missing or damaged, or its content is not valid.
        OutputError: `out` exists and `force` is false, it lies inside `folder`, or it cannot be written.
    """
    check_utf8(folder, what="import")
    check_output(out, force=force, kind="logs", inputs=[folder])
    spec = source_class.spec()
    with temporary_folder(out.resolve(), "import") as scratch:
        with errors_of(source_class):
            source = source_class(folder, scratch, **options)
            head, items = source.head(), source.items()
        _check(source_class, "head", head, LogsHead)
        try:
            with logs_writer(out, head=head, spec=spec, items=items, force=force) as writer:
                for logs in _user_logs(source):
                    writer.write(logs.events, logs.requests)
        except LogsError as error:
            # A row does not fit the schema of logs. The name of the data set is added to the error.
            said = str(error)
            raise LogsError(f"{source_class.title}: {folder}: {said}" if said.startswith("logs: ") else said) from None
        with errors_of(source_class):
            return {**writer.counts(), **source.notes()}


def _user_logs(source: Source) -> Iterator[UserLogs]:
    with errors_of(type(source)):
        for logs in source.read():
            _check(type(source), "read", logs, UserLogs)
            yield logs


def _check(source_class: type[Source], method: str, found: object, wanted: type) -> None:
    if not isinstance(found, wanted):
        raise PluginError(
            f"{source_class.__module__}.{source_class.__qualname__}: `{method}` should return {wanted.__name__}; "
            f"received {type(found).__name__}"
        )
