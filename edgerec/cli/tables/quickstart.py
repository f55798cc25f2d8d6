"""The table of `edgerec quickstart`."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from edgerec.cli.output import table_of
from edgerec.features.behaviours import BEHAVIOUR_KINDS
from edgerec.reports.replay.table import table3_rows

WHERE = ("device", "cloud alone")
_TIMED = {
    **{kind.step_model: f"one {kind.name.replace('_', '-')} encoded" for kind in BEHAVIOUR_KINDS},
    "rerank": "100 candidates re-ranked",
}


def quickstart_table(document: dict[str, Any]) -> Table:
    """Return the table of the document of `run_quickstart`."""
    low, high = document["gauc_ci95"]
    rows = [
        ("GAUC of the base order", f"{document['gauc_base_order']:.4f}"),
        ("GAUC of the model", f"{document['gauc']:.4f}  (95 % interval {low:.4f} to {high:.4f})"),
        ("GAUC of the truth", f"{document['gauc_truth']:.4f}  (true click probabilities, known only to the simulator)"),
        ("device models", f"{document['device_bytes'] / 1024:,.0f} KiB"),
        ("embedding tables", f"{document['cloud_bytes'] / 1024:,.0f} KiB"),
        ("MNN against Keras", f"{document['parity_max_abs']:.1e} at most, on logits"),
        *(
            (what, f"{times['p50_us']:.1f} us (p50), {times['p99_us']:.1f} us (p99)")
            for what, times in ((what, document["latency"][name]) for name, what in _TIMED.items())
        ),
        *(
            (f"{what}: {name}", cell)
            for name, *cells in table3_rows(document["replay"])
            for what, cell in zip(WHERE, cells, strict=True)
        ),
        ("version", document["version_id"]),
        ("seconds", f"{document['seconds']:.0f}"),
        *((part, path) for part, path in document["paths"].items()),
    ]
    return table_of(("", ""), rows, title="EdgeRec quickstart", header=False)
