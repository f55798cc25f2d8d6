"""The blocks of the report of a loop, in the order in which they are shown. A block without data is left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgerec.reports.ab_test.buckets import BUCKET_COLUMNS, bucket_cells, count
from edgerec.reports.ab_test.run_blocks import world
from edgerec.reports.block import Block, Table
from edgerec.reports.cells import NONE, number
from edgerec.reports.loop.lead import primary_of
from edgerec.reports.metrics import in_order, metric
from edgerec.reports.simulated import words_block
from edgerec.reports.uplift import NOT_MEASURED, read_uplift

LATEST, FIRST = "latest model", "first model"
"""Names of the two models of a round."""
_PAIRS = {
    "uplift": (LATEST, "cloud"),
    "first_uplift": (FIRST, "cloud"),
    "against_first": (LATEST, FIRST),
}
"""The comparisons of a round: the key in the document, the model, and what it is compared with."""
_NUMBERS = ("requests", "clicks", "GAUC")
_WORDS = {
    LATEST: "the model that was trained for this round",
    FIRST: "the model of round 1. It does not learn what changes later",
    "cloud": "pages in the order of the cloud, without EdgeRec",
    "logs": "logs that the model of the round was trained on: simulated ones, or those of a bucket's devices",
    "GAUC": "quality of the order on logs of the validation: 0.5 is a random order, 1 is perfect",
    "uplift": "relative change of a metric against another bucket: +5 % means 1.05 times as much",
    "95 %": "interval that contains the true value in 95 of 100 such tests",
}


def blocks_of(document: Mapping[str, Any]) -> list[Block]:
    """Return the blocks of the document of `edgerec loop`."""
    keys = in_order({key for each in document["rounds"] for name in _PAIRS for key in each[name] or {}})
    made = (
        _uplift(document, keys),
        _rounds(document),
        _p_values(document),
        _buckets(document),
        world(document),
        words_block(keys, _WORDS),
    )
    return [block for block in made if block is not None]


def brief_uplift(document: Mapping[str, Any]) -> Table:
    """Return a narrow table: the primary metric, with a row for each round and a column for each comparison."""
    primary = primary_of(document)
    rows = [
        (
            str(each["round"]),
            *(read_uplift(each[name].get(primary)).brief(1) if each[name] else NONE for name in _PAIRS),
        )
        for each in document["rounds"]
    ]
    heads = ("latest / cloud", "first / cloud", "latest / first")
    return Table((metric(primary).name, *heads), rows)


def brief_rounds(document: Mapping[str, Any]) -> Table | None:
    """Return a narrow table of the rounds, without versions, days and users."""
    block = _rounds(document)
    if block is None or block.table is None:
        return None
    kept = [block.table.columns.index(name) for name in ("round", "logs", *_NUMBERS, "seconds")]
    columns = [block.table.columns[index] for index in kept]
    return Table(columns, [[row[index] for index in kept] for row in block.table.rows], texts=2)


def _uplift(document: Mapping[str, Any], keys: list[str]) -> Block | None:
    rows = [
        (str(each["round"]), model, against, *(read_uplift(each[name].get(key)).brief() for key in keys))
        for each in document["rounds"]
        for name, (model, against) in _PAIRS.items()
        if each[name]
    ]
    note = (
        "If the world changes, an old model loses some of its uplift. The distance between the two models is what "
        "training again brings. With 95 % intervals."
    )
    table = Table(("round", "model", "against", *(metric(key).name for key in keys)), rows, texts=3)
    return Block("by-round", "Uplift by round", note, table) if rows else None


def _rounds(document: Mapping[str, Any]) -> Block | None:
    rows = []
    for each in document["rounds"]:
        logs = each["trained_on"] or {}
        first_day, last_day = each["days"] or (None, None)
        gauc = each["validation_gauc"]
        rows.append(
            (
                str(each["round"]),
                each["version_id"] or NOT_MEASURED,
                each["trained_from"] or "a new model",
                logs.get("bucket") or "not known",
                *(count(logs.get(key)) for key in ("requests", "clicks")),
                NOT_MEASURED if gauc is None else f"{gauc:.4f}",
                NOT_MEASURED if first_day is None else f"{first_day} to {last_day}",
                count(each["users"]),
                NOT_MEASURED if each["seconds"] is None else number(each["seconds"]),
            )
        )
    heads = ("round", "version ID", "trained from", "logs", *_NUMBERS, "days, inclusive", "users")
    return Block("rounds", "Rounds", table=Table((*heads, "seconds"), rows, texts=4)) if rows else None


def _p_values(document: Mapping[str, Any]) -> Block | None:
    rows = [
        (str(each["round"]), model, against, metric(key).name, *read_uplift(each[name][key]).cells())
        for each in document["rounds"]
        for name, (model, against) in _PAIRS.items()
        for key in in_order(each[name] or {})
    ]
    table = Table(("round", "model", "against", "metric", "uplift", "95 %", "p"), rows, texts=4)
    return Block("p-values", "p-values", table=table, folded=True) if rows else None


def _buckets(document: Mapping[str, Any]) -> Block | None:
    rows = [
        (str(each["round"]), name, *bucket_cells(bucket))
        for each in document["rounds"]
        for name, bucket in (each["buckets"] or {}).items()
    ]
    table = Table(("round", "bucket", *BUCKET_COLUMNS), rows, texts=2)
    note = "Means per user, apart from the number of users and CTR."
    return Block("buckets", "Buckets", note, table, folded=True) if rows else None
