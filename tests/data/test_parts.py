"""All parts of a table need the columns that EdgeRec reads. Errors about columns name the file."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from edgerec.core.errors import LogsError
from edgerec.data.build_samples import write_samples
from edgerec.data.logs import load_logs, open_logs, write_logs
from edgerec.data.statistics.document import stats_document
from tests.data.test_samples import files_of
from tests.synthetic import make_logs, unstamp

LOGS = make_logs()
Change = Callable[[pl.DataFrame], pl.DataFrame]


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Return logs whose events and requests have two parts each."""
    path = tmp_path / "logs"
    write_logs(LOGS, path)
    unstamp(path)
    for name in ("events", "requests"):
        first = path / name / "part-00000.parquet"
        rows = pl.read_parquet(first)
        rows[:100].write_parquet(first)
        rows[100:].write_parquet(first.with_name("part-00001.parquet"))
    return path


def change(logs: Path, name: str, how: Change) -> None:
    file = logs / name
    how(pl.read_parquet(file)).write_parquet(file)


def put(**columns: pl.Expr) -> Change:
    return lambda table: table.with_columns(**columns)


def test_columns_that_are_not_read_may_differ(logs: Path, tmp_path: Path) -> None:
    expected = files_of(write_samples(logs, tmp_path / "expected").path)
    opened = load_logs(logs)
    change(logs, "events/part-00000.parquet", put(note=pl.lit("a"), one=pl.lit(1), same=pl.lit(2)))
    change(logs, "events/part-00001.parquet", put(note=pl.lit(1.5), two=pl.lit(1), same=pl.lit(2)))
    change(logs, "requests/part-00000.parquet", put(click_count=pl.lit("none")))
    change(logs, "items.parquet", put(note=pl.struct(a=pl.lit(1))))
    assert files_of(write_samples(logs, tmp_path / "found").path) == expected
    assert stats_document(logs)["logs"][0]["requests"] == 120
    # A column that has the same type in all parts is kept.
    assert_frame_equal(load_logs(logs).events, opened.events.with_columns(same=pl.lit(2)))


DECIMAL_256 = (
    "P(e~L6#x|+6&x%T0u=xi1{DSz00002000020b~FG0000002Kfg92Fca6#^9i6$TXs8~^|S0ssI20s#X600000000#L6&w{DEENJ302Kxm"
    "1{?qY00IC200IF4000000000L02M$LKr9sk6#x|m6$Tst000620006300000000000000001TfjoX|#e?dm`P000#P8C*307zT4=Xk~3-"
    "6$k(o1SJ9(2WfO=ZC`0*02Kr!0vH5yXm4-;6$B*$7zJ!)c4ce;6%G|N6#^IoZ)9X83KcvRcr08MJQa8V000&O85|i*CIB221Q{g;02vqu"
    "X>?_6Uuk3&02TrkLKZ?M2uU0j02Kfg0suTI1{o#*0ssI2CIB221Q{g;02vqrb7*gH6#y0j7D5(6CQ3;h6#x|g6#@V}DFzuP00IC2044w&"
    "6$BY21^^it1#D$@Wo#7y76KMR7D6VB0ZAMc02Kfg0suTI1{o#*0ssI2CIB224jCl|02vqqZ)9W@02TrkW)@~9&H+gr6#x|g6#@V}DFzuP"
    "00IC202ZtQ76K*+7OVmQ85|f4K~hprS2}ZJXk~3-7?=YuFE1}Id1pdFK|xVLK|w)5K|xDFL3cqyXF*0mL1#fjXF)+hK|w-7K|xJHK|w)7"
    "K|x7DK|w)6K|x7DK|w)6K|w)5K~X_LK|?q}K|w)fK|w)5MNvUPK|w`9K|w)UP%kepcR@ixQDad-K|w)DK|w)5K~X_LK|w)5K|w)5cR@ix"
    "M>%U+K|w)5L2p4tK|w`9L1#fkK|xDFK|w)KK|w)5LNq}^K|w)5Q9(g(P%kepcR@ixQAtrjK|w)BK|w)5K~X_LK|w)5K|w)6Q9(gLM|f;x"
    "ZB}zZK|w)lP%kepcR@ixK}JDAK|w(<P%kepcR@ixQAtrjK|w)BK|w)5K~X_LK|w)5K|w)6K|w)5NKS8JGeJQ?K|w)xP%kepcR@ixK}JDA"
    "K|w)9K|xhPL1#fiXF*6oL3cqxK|xVLLP0@6K|w)5K}ADFK|w)5LqS17K|w`9K|w)5K|w)5L1RHdK|*k3M^<!LGHh!>L1#fkK|x7DL1RHf"
    "K|w)5K|w)5K}JDAK|w)5K|w)5K|MVH7$9(Aa&dKKbS-0Wa4lhSa&LDac4cyNX>V>IGBz$SE-@KQ8~^|u000~S02}}S0QUj_08l|vF#"
)
ODD_TIME_ZONE = (
    "P(e~L6#x|+6&x%T0u=xi1{DSz00002000020b~FG0000002Kfg92Fca6#^9i6$TXs8~^|S0ssI20s#X600000000#L6&w{DEENJ302Kxm"
    "1{?qY00IC200IF4000000000L02Le+94r+A6#x|m6$Tst00062000630RR91000006$BYvH2@d}b7N>_ZDAD%02Kr!0vHErbY*Q{X=DHu"
    "1SJ9(1aoL_Z~zqqB?1@)Y-M(3YycGmB?1@&Z)9X85=@K{92@`u0000M0vQ|`OeO#v6$BY21^^it2WfO=ZC`0*6#y0j7D5(6CJ0F!6#x|g"
    "6#@V}DFzuP00IC2044w&6$BY21^^it1aoL_a1{U+0v19RLMBQ{92Ec+02KlNJShelCIA8e001Tc92Eo^B?bT)7zJ!)c4cf802TrkLKZ?M"
    "i~&g;6#x|g6#@V}DFzuP00IC2044w&6$BY21^^it18-zx6#y0j7D5(6Ce8s#92Ec+02KlNJShelCIA8e000(<0u}-$2o{I}02v$@3_(&-"
    "Pggo~V`yb<VHlVLFE1}IFL`G|K|w)LK|w)5K|w)FK|yyxLT5onK|yChLuWxjK|w)6LP0@IK|w)5LqS1FK|w)5LP0@EK|w)5LP0@6K|xVL"
    "K|w@8K|w)5W<fzgK}BalK|w)9K|w)5Sx_%8FLyyfK~Zl}K|w)5NI^kCK|xVLK|w)5K|w)5L3cqxK}R`jT0uccK|yyxLT5oqK|yChK|w)5"
    "K|w`9LP0@6K|xtTK|w)sO+;fhO?p8=K}$q0FE2PjK|w`BML|J9K|*IiK|w)9K|w)5K|w)5K|xhPK|w-uT3A|aVnIPcK}tj~FE2PjK|w)6"
    "Q9(gLK~6+3FE2PjK|w`BML|J9K|*IiK|w)9K|w)5K|w)5K|xVLK|w-#VMjT4K|w)5K}|$2FE2PjK|w)6Q9(gLK|(=6MnOSIK|xtTLU%z;"
    "K|w)5ML|JPK|w)5K|w)6L1;liK|w)hK|w)5LP0@6K|w)5K|w)CK|w)5VOUaZVpchDT0uccK|yyxLqS1EK|yChK|w)5K|w)6Q9(gLK|wt|"
    "02m-}VRCVGWppiLaBwYQa&m8XAa-SPb7^mGATl;CFfK6}OdJ3J8~^|u000~S008m=002-yQZW"
)


@pytest.mark.parametrize("content", [DECIMAL_256, ODD_TIME_ZONE], ids=["decimal256", "time zone +07:30"])
def test_a_column_that_is_not_read_may_have_an_unknown_type(logs: Path, tmp_path: Path, content: str) -> None:
    """`content` is a file of pyarrow. It has one item, 100, and a column whose type polars does not know."""
    write_logs(LOGS, tmp_path / "other", force=True)
    unstamp(tmp_path / "other")
    rest = pl.read_parquet(tmp_path / "other" / "items.parquet")
    (tmp_path / "other" / "items.parquet").unlink()
    (tmp_path / "other" / "items.parquet").mkdir()
    (tmp_path / "other" / "items.parquet" / "a.parquet").write_bytes(base64.b85decode(content))
    rest[1:].write_parquet(tmp_path / "other" / "items.parquet" / "b.parquet")
    assert open_logs(tmp_path / "other").items["item_id"].to_list() == list(range(100, 140))
    assert len(write_samples(tmp_path / "other", tmp_path / "samples").head.shards) == 1


FAULTS: dict[str, tuple[str, Change, str]] = {
    "words": (
        "events/part-00001.parquet", put(score=pl.lit("a")),
        r"part-00001\.parquet: events\.score should hold numbers .*received String",
    ),
    "fractions": (
        "events/part-00001.parquet", put(user_id=pl.col("user_id").cast(pl.Float64)),
        r"part-00001\.parquet: events\.user_id should be Int64; received Float64",
    ),
    "no list": (
        "requests/part-00001.parquet", put(score=pl.lit(1.0)),
        r"part-00001\.parquet: requests\.score should be a list .*received Float64",
    ),
    "no type": (
        "events/part-00001.parquet", put(score=pl.lit("a").cast(pl.Binary)),
        r"part-00001\.parquet: events\.score should hold numbers .*received Binary",
    ),
    "missing": (
        "requests/part-00001.parquet", lambda table: table.drop("score"),
        r"part-00001\.parquet and .*part-00000\.parquet are parts .* only one of them has the column 'score'",
    ),
    "items": ("items.parquet", put(level=pl.lit("a")), r"items\.parquet: items\.level should hold numbers"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_an_error_about_a_column_names_its_file(logs: Path, fault: str) -> None:
    file, how, said = FAULTS[fault]
    change(logs, file, how)
    with pytest.raises(LogsError, match=said) as caught:
        open_logs(logs)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("place", ["part-00000", "part-00002"])
@pytest.mark.parametrize(
    "empty",
    [
        lambda rows: rows.clear().cast(pl.Null),
        lambda rows: rows.clear().cast({"user_id": pl.Float64, "time": pl.String}),
        lambda rows: rows.clear().drop("item_id"),
        lambda rows: rows.clear(),
    ],
    ids=["null", "pandas", "missing", "same"],
)
def test_parts_without_rows_are_ignored(logs: Path, tmp_path: Path, place: str, empty: Change) -> None:
    expected = files_of(write_samples(logs, tmp_path / "expected").path)
    for name in ("events", "requests"):
        rows = pl.read_parquet(logs / name / "part-00001.parquet")
        for file in sorted((logs / name).iterdir(), reverse=True):
            number = int(file.stem[-1]) + (place == "part-00000")
            file.rename(file.with_name(f"part-0000{number}.parquet"))
        empty(rows).write_parquet(logs / name / f"{place}.parquet")
    assert files_of(write_samples(logs, tmp_path / "found").path) == expected


@pytest.mark.parametrize("dtype", [pl.Int8, pl.UInt64, pl.Boolean, pl.Float32, pl.Decimal(38, 30)])
def test_different_numeric_types_become_float64(logs: Path, dtype: pl.DataType, tmp_path: Path) -> None:
    ones = pl.col("score").list.eval(pl.element() * 0 + 1)
    change(logs, "events/part-00001.parquet", put(score=pl.lit(1.0)))
    change(logs, "requests/part-00001.parquet", put(score=ones))
    expected = files_of(write_samples(logs, tmp_path / "samples").path)
    change(logs, "events/part-00001.parquet", put(score=pl.lit(1).cast(dtype)))
    change(logs, "requests/part-00001.parquet", put(score=ones.cast(pl.List(dtype))))
    assert files_of(write_samples(logs, tmp_path / "samples", force=True).path) == expected


def test_a_column_may_have_no_values_in_one_part(logs: Path) -> None:
    change(logs, "events/part-00000.parquet", put(score=pl.lit(None)))
    found = load_logs(logs).events["score"]
    assert (found.dtype, found.null_count()) == (pl.Float64, 100)


def test_decimals_and_large_integers_may_be_in_one_column(logs: Path) -> None:
    change(logs, "events/part-00000.parquet", put(score=pl.col("score").cast(pl.Decimal(38, 30))))
    change(logs, "events/part-00001.parquet", put(score=pl.lit(10**12)))
    assert load_logs(logs).events["score"].max() == 1e12


def test_numbers_and_strings_in_one_column_are_an_error(logs: Path) -> None:
    """The column `category`, which only `edgerec stats` reads, may have numbers or strings, but not both."""
    items = pl.read_parquet(logs / "items.parquet")
    (logs / "items.parquet").unlink()
    (logs / "items.parquet").mkdir()
    items[:5].with_columns(category=pl.lit(1)).write_parquet(logs / "items.parquet" / "a.parquet")
    items[5:].with_columns(category=pl.lit("a")).write_parquet(logs / "items.parquet" / "b.parquet")
    with pytest.raises(
        LogsError, match=r"category is Int32 in .*a\.parquet and String in .*b\.parquet; write one type"
    ):
        open_logs(logs)


def test_an_error_about_a_table_without_rows_names_its_file(logs: Path) -> None:
    for file in (logs / "events").iterdir():
        pl.read_parquet(file).clear().cast({"user_id": pl.Float64}).write_parquet(file)
    with pytest.raises(LogsError, match=r"part-00000\.parquet: events\.user_id should be Int64; received Float64"):
        open_logs(logs)
