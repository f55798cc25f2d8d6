"""Findings: the faults of logs, with their places in files. One cause is one finding."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from edgerec.core.errors import EdgeRecError
from edgerec.core.text import shown
from edgerec.data.log_faults import Fault, Found, Result

Severity = Literal["error", "warning"]


@dataclass
class Finding:
    """One cause. The first case stands for all.

    Attributes:
        severity: `error`, which `edgerec samples` refuses, or `warning`.
        table: name of the table, or of the document (`logs.json`, `features.json`).
        column: name of the column, or an empty text.
        file: path of the first file with a case, within the folder of logs; None if the finding is not about a file.
        row: number of the row of the first case in this file, counted from 1; None if the finding is not about rows.
        rows: in how many rows the fault is; None if the finding is not about rows.
        files: in how many files the fault is.
        expected: what was expected.
        found: what was found in the first case.
        advice: why it matters (for warnings), and what to do.
    """

    severity: Severity
    table: str
    column: str
    file: str | None
    row: int | None
    rows: int | None
    files: int
    expected: str
    found: str
    advice: str

    def to_json(self) -> dict[str, Any]:
        """Return the finding as data for JSON."""
        return {**vars(self), "column": self.column or None}


@dataclass
class Findings:
    """All findings in one folder of logs, and what could not be checked.

    Attributes:
        folder: the folder of logs.
        skipped: what was not checked, and why.
    """

    folder: Path
    skipped: list[str] = field(default_factory=list)
    _found: dict[tuple[str, ...], Finding] = field(default_factory=dict)
    _files: dict[tuple[str, ...], set[str]] = field(default_factory=dict)

    def take(
        self,
        found: Found[Result],
        table: str,
        *,
        file: Path | None = None,
        first_row: int = 0,
        known: Collection[str] = (),
    ) -> Result:
        """Run a check, add its faults, and return what it returns.

        Args:
            found: the check.
            table: name of the table.
            file: the file that is checked; None if it is more than one.
            first_row: index of the first checked row in the file.
            known: columns with a fault that the schemas of files show. Their other faults of all rows have the same
                cause, so they are no findings.
        """
        seen: set[tuple[object, ...]] = set()
        while True:
            try:
                fault = next(found)
            except StopIteration as end:
                result: Result = end.value
                return result
            key = _key(fault, table)
            if fault.rows is None and fault.column in known and key not in self._found:
                continue
            # Two features may read the same column. Its rows count once.
            if (key, fault.file) not in seen:
                seen.add((key, fault.file))
                self._add(key, fault, fault.file or file, first_row)

    def error(self, fault: Fault, table: str) -> None:
        """Add one fault."""
        self._add(_key(fault, table), fault, fault.file, 0)

    def has(self, fault: Fault, table: str) -> bool:
        """Return whether there is a finding with the cause of `fault`."""
        return _key(fault, table) in self._found

    def refused(self, error: EdgeRecError, table: str, *, expected: str, advice: str) -> None:
        """Add an error that another part of EdgeRec raises."""
        self.error(Fault(str(error), expected=expected, found=str(error), advice=advice), table)

    def warn(
        self,
        table: str,
        column: str,
        *,
        expected: str,
        found: str,
        advice: str,
        rows: int | None = None,
        place: tuple[Path, int] | None = None,
    ) -> None:
        """Add a warning. `place` is the file and the index of the row of the first case."""
        file, row = place or (None, None)
        fault = Fault("", expected=expected, found=found, advice=advice, column=column, row=row, rows=rows)
        self._add(("warning", table, column, expected), fault, file, 0)

    def has_error(self, table: str, *columns: str) -> bool:
        """Return whether one of the `columns` of the table has an error."""
        return any(severity == "error" and of == table and column in columns for severity, of, column, _ in self._found)

    def sorted(self) -> list[Finding]:
        """Return all findings, errors first."""
        return sorted(self._found.values(), key=lambda each: each.severity != "error")

    def count(self, severity: Severity) -> int:
        """Return the number of findings of one severity."""
        return sum(each.severity == severity for each in self._found.values())

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.sorted())

    def _add(self, key: tuple[str, ...], fault: Fault, file: Path | None, first_row: int) -> None:
        name = None if file is None else self._name(file)
        files = self._files.setdefault(key, set())
        files |= set() if name is None else {name}
        row = None if fault.row is None else first_row + fault.row + 1
        known = self._found.get(key)
        if known is None:
            severity: Severity = "error" if key[0] == "error" else "warning"
            self._found[key] = Finding(
                severity, key[1], fault.column, name, row, fault.rows, 1, fault.expected, fault.found, fault.advice
            )
            return
        if fault.rows is not None:
            known.rows = (known.rows or 0) + fault.rows
        known.files = max(len(files), 1)

    def _name(self, file: Path) -> str:
        try:
            return shown(file.relative_to(self.folder).as_posix()) or "."
        except ValueError:
            return shown(str(file))


def _key(fault: Fault, table: str) -> tuple[str, ...]:
    return "error", fault.table or table, fault.column, fault.expected
