"""The statistics of logs as a JSON document: rates, quantiles, histograms and shares (its keys are in docs/cli.md)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgerec.core.statistics import wilson
from edgerec.data.statistics.click_rates import (
    CATEGORY_BUCKETS,
    ITEM_BUCKETS,
    POSITIONS,
    Rates,
    bucket_names,
)
from edgerec.data.statistics.counting import LogsStatistics, Statistics, count_logs
from edgerec.data.statistics.histograms import (
    Counts,
    common_edges,
    histogram,
    quantile,
    shares_by_tenth,
)
from edgerec.features.behaviours import BEHAVIOUR_KINDS, BehaviourKind, Limits
from edgerec.features.spec import FeatureSpec

POSITION_NAMES = [*(str(position) for position in range(1, POSITIONS + 1)), f"{POSITIONS + 1}+"]
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


def stats_document(logs: Path, *, against: Path | None = None, processes: int = 1) -> dict[str, Any]:
    """Count the logs in the folder `logs`, and in `against` if it is given, and return the document.

    Args:
        logs: the folder.
        against: a second folder of logs, the reference of the comparison.
        processes: number of processes that count.

    Raises:
        InputError, FormatError, LogsError, SpecificationError: see `count_logs`.
    """
    paths = [logs, *([against] if against is not None else [])]
    return document([count_logs(path, processes=processes) for path in paths], [str(path) for path in paths])


def document(data_sets: Sequence[LogsStatistics], paths: Sequence[str]) -> dict[str, Any]:
    """Return the document of one or two data sets.

    Args:
        data_sets: the statistics of each data set. The second one is the reference of the comparison.
        paths: the path of each data set.
    """
    sets = [_of_one(each, path) for each, path in zip(data_sets, paths, strict=True)]
    _add_histograms(data_sets, sets)
    names = [each.name for each in data_sets]
    for entry, name, path in zip(sets, names, paths, strict=True):
        entry["label"] = name if names.count(name) == 1 else f"{name} ({path})"
    return {"logs": sets, "comparison": _comparison(sets) if len(sets) > 1 else None}


def _of_one(data_set: LogsStatistics, path: str) -> dict[str, Any]:
    counted, spec = data_set.statistics, data_set.spec
    clicks, exposures = int(counted.position.clicks.sum()), int(counted.position.exposures.sum())
    return {
        "name": data_set.name,
        "label": data_set.name,
        "path": path,
        "requests": counted.requests,
        "pages": counted.pages,
        "users": counted.users,
        "exposures": exposures,
        "clicks": clicks,
        **_rate(clicks, exposures),
        "behaviours": {kind.plural: counted.events[kind] for kind in BEHAVIOUR_KINDS},
        "click_rate": {
            "position": [row for row in _rows("position", POSITION_NAMES, counted.position) if row["exposures"]],
            "item_exposures": _with_steps(_rows("earlier", bucket_names(ITEM_BUCKETS), counted.item)),
            "category_exposures": None
            if counted.category is None
            else _rows("earlier", bucket_names(CATEGORY_BUCKETS), counted.category),
            "without_category": None if counted.category is None else counted.uncategorised,
        },
        "known": {kind.plural: _known(counted.known[kind], Limits().of(kind)) for kind in BEHAVIOUR_KINDS},
        "actions": {kind.plural: _actions(spec, counted, kind) for kind in BEHAVIOUR_KINDS},
        "numbers": {kind.plural: _numbers(spec, counted, kind) for kind in BEHAVIOUR_KINDS},
        "opened_from": None if counted.opened_from is None else _shares(counted.opened_from, "value"),
        "list_lengths": _distribution(counted.list_lengths),
        "users_by_exposures": {
            **_distribution(counted.activity),
            "share_by_tenth": shares_by_tenth(counted.activity),
        },
        "triggers": _shares(counted.triggers, "trigger"),
        "hours": [
            {"hour": hour, "requests": count, "share": count / counted.requests if counted.requests else None}
            for hour, count in enumerate(counted.hours.tolist())
        ],
    }


def _rate(clicks: int, exposures: int) -> dict[str, Any]:
    if not exposures:
        return {"rate": None, "ci95": None}
    return {"rate": clicks / exposures, "ci95": list(wilson(clicks, exposures))}


def _rows(key: str, names: Sequence[str], rates: Rates) -> list[dict[str, Any]]:
    return [
        {key: name, "exposures": exposures, "clicks": clicks, **_rate(clicks, exposures)}
        for name, exposures, clicks in zip(names, rates.exposures.tolist(), rates.clicks.tolist(), strict=True)
    ]


def _with_steps(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add `to_previous` to each row: its rate divided by the rate of the row before."""
    for index, row in enumerate(rows):
        row["to_previous"] = _ratio(row["rate"], rows[index - 1]["rate"]) if index else None
    return rows


def _ratio(one: float | None, other: float | None) -> float | None:
    return one / other if one is not None and other else None


def _distribution(counts: Counts) -> dict[str, Any]:
    return {"n": counts.total, "mean": counts.mean, **_quantiles(counts), "max": quantile(counts, 1.0)}


def _quantiles(distribution: Counts) -> dict[str, float | None]:
    return {name: quantile(distribution, share) for name, share in QUANTILES.items()}


def _known(counts: Counts, limit: int) -> dict[str, Any]:
    capped = counts.capped(limit)
    full = int(counts.counts[counts.values >= limit].sum())
    return {
        **_distribution(counts),
        "capped": {
            "limit": limit,
            "mean": capped.mean,
            **_quantiles(capped),
            "at_limit": full / counts.total if counts.total else None,
        },
    }


def _actions(spec: FeatureSpec, counted: Statistics, kind: BehaviourKind) -> list[dict[str, Any]]:
    """Return the share of behaviours with each value, for features that list their values."""
    rows = []
    for feature in spec.actions(kind):
        if not feature.listed:
            continue
        missing, other, *listed = counted.values[kind][feature.name].tolist()
        values, rest = dict(zip(feature.listed, listed, strict=True)), {"missing": missing}
        if feature.unlisted is None:
            rest["other"] = other
        else:
            values[feature.unlisted] = other
        total = counted.events[kind]
        rows.append(
            {
                "feature": feature.name,
                "source": feature.source,
                "kind": feature.kind,
                "values": [{"value": name, **_share(count, total)} for name, count in values.items()],
                **{name: _share(count, total) for name, count in rest.items()},
            }
        )
    return rows


def _numbers(spec: FeatureSpec, counted: Statistics, kind: BehaviourKind) -> list[dict[str, Any]]:
    """Return the quantiles of each column of numbers, with the features that read the column."""
    rows: dict[str, dict[str, Any]] = {}
    for feature in spec.actions(kind):
        if feature.source in rows:
            rows[feature.source]["features"].append(feature.name)
        elif feature.source in counted.numbers[kind] and not feature.listed:
            values = counted.numbers[kind][feature.source]
            middles = values.middles()
            rows[feature.source] = {
                "source": feature.source,
                "features": [feature.name],
                "n": middles.total,
                "missing": _share(values.missing, counted.events[kind]),
                "p10": quantile(middles, 0.1),
                **_quantiles(middles),
            }
    return list(rows.values())


def _share(count: int, total: int) -> dict[str, Any]:
    return {"count": count, "share": count / total if total else None}


def _shares(counts: dict[str, int], key: str) -> list[dict[str, Any]]:
    """Return the share of each value, the most frequent one first. The value "" stands for nulls."""
    total = sum(counts.values())
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return [{key: value, "count": count, "share": count / total} for value, count in ordered]


def _add_histograms(data_sets: Sequence[LogsStatistics], sets: Sequence[dict[str, Any]]) -> None:
    """Add histograms to the entries of all data sets. Histograms of the same figure have the same edges."""

    def add(pairs: list[tuple[dict[str, Any], Counts]], *, whole: bool = True) -> None:
        edges = common_edges([counts for _, counts in pairs], whole=whole)
        for entry, counts in pairs:
            entry["histogram"] = histogram(counts, edges if counts.total else [])

    both = [(entry, each.statistics) for entry, each in zip(sets, data_sets, strict=True)]
    add([(entry["list_lengths"], counted.list_lengths) for entry, counted in both])
    add([(entry["users_by_exposures"], counted.activity) for entry, counted in both])
    for kind in BEHAVIOUR_KINDS:
        key = kind.plural
        add([(entry["known"][key], counted.known[kind]) for entry, counted in both])
        capped = [(entry["known"][key]["capped"], counted.known[kind]) for entry, counted in both]
        add([(row, counts.capped(row["limit"])) for row, counts in capped])
        rows = [{row["source"]: row for row in entry["numbers"][key]} for entry, _ in both]
        for source in dict.fromkeys(source for each in rows for source in each):
            with_source = [
                (each[source], counted.numbers[kind][source])
                for each, (_, counted) in zip(rows, both, strict=True)
                if source in each
            ]
            whole = all(numbers.whole for _, numbers in with_source)
            add([(row, numbers.middles()) for row, numbers in with_source], whole=whole)


def _comparison(sets: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """For each step from one number of earlier exposures to the next, compare the change of the click rate.

    `ratio` is the click rate after the step divided by the click rate before it. `against` is the same in the second
    data set. `difference` is ``ratio / against - 1``.
    """
    ours, theirs = (entry["click_rate"]["item_exposures"] for entry in sets)
    steps = []
    for before, one, other in zip(ours, ours[1:], theirs[1:], strict=False):
        ratio, against = one["to_previous"], other["to_previous"]
        relative = _ratio(ratio, against)
        steps.append(
            {
                "from": before["earlier"],
                "to": one["earlier"],
                "ratio": ratio,
                "against": against,
                "difference": None if relative is None else relative - 1,
            }
        )
    return {"item_exposures": steps}
