"""What the script does with a column is what `edgerec init` did: both forms of each rule give the same values."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Any

import polars as pl
import pytest

from edgerec.data.starting.clicks import click_rule
from edgerec.data.starting.lengths import length_rule
from edgerec.data.starting.list_rows import one_row_for_each_item
from edgerec.data.starting.script import TEMPLATE
from edgerec.data.starting.tables import Table
from edgerec.data.starting.times import FORMATS, UNITS, time_rule
from tests.data.starting.test_list_rows import BASE, FORMS

NAMES: dict[str, Any] = {"pl": pl}
for function in re.findall(
    r"^def (?:parts|milliseconds)\(.*?(?=^{%)", TEMPLATE.read_text(encoding="utf-8"), re.M | re.S
):
    exec(function, NAMES)

INSTANTS = [datetime(2024, 3, 4, 17, 0, 1), datetime(2024, 12, 25, 3, 59, 58)]
SECONDS = [1_709_571_601, 1_735_099_198]
TIMES: dict[str, pl.Series] = {
    **{unit: pl.Series([second * size + size // 7 for second in SECONDS]) for unit, size in UNITS.items()},
    **{f"{unit}, decimals": pl.Series([(each + 0.1234) * size for each in SECONDS]) for unit, size in UNITS.items()},
    **{
        pattern: pl.Series(
            [time.strftime(pattern.replace("%.f", ".123").replace("%#z", "+02").replace("%z", "+0200"))
             for time in INSTANTS]
        )
        for pattern in FORMATS
    },
    "numbers that are dates": pl.Series([20_240_304, 20_241_225]),
    "timestamps": pl.Series(INSTANTS),
    "days": pl.Series([date(2024, 3, 4), date(2024, 12, 25)]),
}  # fmt: skip
CLICKS: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "at least 7 digits": ([1_234_566, 1_234_567, 1_234_568, None], {"at_least": 1_234_567.0}),
    "at least a fraction": ([0.1, 0.123456789, 0.2], {"at_least": 0.123456789}),
    "ratings": ([1, 2, 4, 5, None], {"rating": True}),
    "ratings up to 3": ([2.3, 2.4, 3.0], {"rating": True}),
    "large ratings": ([987_654, 987_655, 1_234_567], {"rating": True}),
    "yes and no": ([True, False, None], {}),
    "1 and nothing": ([1, None], {}),
    "1 and -1": ([1, -1, None], {}),
    "1 and 0": ([1, 0, None], {}),
    "counts": ([0, 3, None], {}),
    "yes and nothing": ([" Yes", "", None], {}),
    "texts": (["click", "VIEW ", None], {}),
}


def both(rows: pl.DataFrame, code: str, expression: pl.Expr) -> list[Any]:
    """Return what the expression gives, after a comparison with what the code gives."""
    values = rows.select(expression)[:, 0].to_list()
    assert rows.select(eval(code, NAMES))[:, 0].to_list() == values
    return values


@pytest.mark.parametrize("name", TIMES)
def test_times(name: str) -> None:
    values = TIMES[name].alias("a 'b'")
    rule = time_rule(values)
    assert rule is not None
    assert None not in both(values.to_frame(), rule.code, rule.milliseconds)


@pytest.mark.parametrize("name", CLICKS)
def test_clicks(name: str) -> None:
    values, more = CLICKS[name]
    rule = click_rule(pl.Series("c", values), **more)
    assert rule is not None
    assert {True, False} >= set(both(pl.DataFrame({"c": values}), rule.code, rule.clicked)) - {None} >= {True}


def test_the_smallest_number_of_a_click_is_not_rounded() -> None:
    rule = click_rule(pl.Series("c", [1_234_560, 1_234_567]), at_least=1_234_567)
    assert rule is not None
    assert both(pl.DataFrame({"c": [1_234_560, 1_234_567]}), rule.code, rule.clicked) == [False, True]


@pytest.mark.parametrize(("column", "value"), [("dwell", 12.5), ("dwell_ms", 12), ("dwell", 40_000), ("read", True)])
def test_lengths(column: str, value: float, tmp_path: Any) -> None:
    table = Table(tmp_path / "t.csv", "csv", ",", pl.DataFrame({column: [value, None]}), True)
    rule = length_rule(table, column)
    assert both(table.rows, rule.code, rule.seconds) == [value / 1000 if "1000" in rule.code else value, None]


@pytest.mark.parametrize("form", FORMS)
def test_one_row_for_each_item(form: str, tmp_path: Any) -> None:
    rows = pl.DataFrame({**BASE, **FORMS[form][1]})
    found = one_row_for_each_item(Table(tmp_path / "t.csv", "csv", ",", rows, True), {}, frozenset())
    assert found.list_rows is not None
    names = {**NAMES, "rows": rows}
    for step in found.list_rows.steps:
        exec(step.replace("\n    ", "\n"), names)
    assert found.rows.equals(names["rows"].select(found.rows.columns))
    assert len(found.rows) > len(rows)
