"""Table 3 of the paper: delay of behaviours, response time and feedback, on the device and by the cloud alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgerec.bench.replay.spans import Spans
from edgerec.bench.replay.timed import (
    BEHAVIOUR,
    CLOUD_ITEMS,
    CLOUD_LOGS,
    CLOUD_PAGE,
    RANK,
    RECORD,
    RERANK,
    STEP,
    STORE_ENCODING,
    STORE_RECORD,
    STORE_REQUEST,
    VECTORS,
)

DURABLE, ENCODED, RESPONSE = "behaviour_durable", "behaviour_encoded", "response"
NAMES = {
    DURABLE: RECORD,
    ENCODED: BEHAVIOUR,
    RESPONSE: RERANK,
    "cloud_logs": CLOUD_LOGS,
    "cloud_items": CLOUD_ITEMS,
    "cloud_page": CLOUD_PAGE,
}
"""The durations of the document, and their names among the spans."""
PARTS = {
    BEHAVIOUR: {"record in the store": STORE_RECORD, "steps": STEP, "write the encoding": STORE_ENCODING},
    RERANK: {"candidate vectors": VECTORS, "rank": RANK, "record the request": STORE_REQUEST},
}
"""The measured parts of a behaviour and of a re-rank."""
OTHER = "other"


def durations_of(spans: Spans) -> dict[str, dict[str, Any]]:
    """Return number and percentiles in milliseconds of every measured duration, by name."""
    found = {key: spans.summary(name) for key, name in NAMES.items()}
    return {key: summary for key, summary in found.items() if summary is not None}


def stages_of(spans: Spans) -> list[dict[str, Any]]:
    """Return where the time of a behaviour and of a re-rank goes: a row for each part, and one for the rest."""
    rows = []
    for what, parts in PARTS.items():
        whole = spans.summary(what)
        if whole is None:
            continue
        rest = spans.total_ms(what)
        for part, name in parts.items():
            total = spans.total_ms(name)
            rest -= total
            rows.append({"what": what, "part": part, "mean_ms": total / whole["n"], "calls": spans.count(name)})
        rows.append({"what": what, "part": OTHER, "mean_ms": rest / whole["n"], "calls": whole["n"]})
    return rows


def table3(durations: Mapping[str, Any], *, feedback: float, pages: float) -> list[dict[str, Any]]:
    """Return the rows of Table 3.

    The cloud alone knows a behaviour when it has stored the batch of log rows with it, and answers with a page. The
    durations are those of this machine without a network: on a phone, the network is most of the cloud's time.
    """

    def quantiles(name: str) -> dict[str, float] | None:
        return {key: durations[name][key] for key in ("p50", "p99")} if name in durations else None

    page = "cloud_page" if "cloud_page" in durations else "cloud_items"
    return [
        {"what": "delay of a behaviour, ms", "edge": quantiles(ENCODED), "cloud": quantiles("cloud_logs")},
        {"what": "response time, ms", "edge": quantiles(RESPONSE), "cloud": quantiles(page)},
        {"what": "orders of the list per user", "edge": feedback, "cloud": pages},
    ]
