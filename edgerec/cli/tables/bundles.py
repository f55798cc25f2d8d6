"""The tables of `edgerec export` and `edgerec inspect`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edgerec.bundle.manifest import PRECISIONS
from edgerec.cli.output import table_of
from edgerec.cli.tables.mixing_rules import rules_table
from edgerec.core.text import counted, format_value, shown
from edgerec.mixing.settings import MixSettings


def export_table(document: Mapping[str, Any]) -> RenderableType:
    """Return the table of the document of `edgerec export`."""
    parity, gauc, rows = document["parity"], document["gauc"], document["precisions"]
    lines = [
        ("bundle", str(document["bundle"])),
        ("version", document["version_id"]),
        ("precision", document["precision"]),
        ("bytes for the device", format_value(document["device_bytes"])),
        ("bytes for the cloud", format_value(document["cloud_bytes"])),
        *_checked(parity, gauc),
        ("signed", format_value(document["signed"])),
    ]
    table = table_of(("", ""), lines, header=False)
    return Group(table, "", precision_table(rows)) if rows else table


def inspection_table(document: Mapping[str, Any]) -> Group:
    """Return the tables of the document of `inspect_bundle`."""
    models, tables, parity = document["models"], document["tables"], document["parity"]
    gauc = document["gauc"]
    head = [
        ("version", document["version_id"]),
        ("created", document["created"]),
        ("serial number", str(document["serial"])),
        ("precision", document["precision"]),
        ("signature", _signature_text(document["signature"])),
        ("limits", ", ".join(f"{count} {name.replace('_', '-')}" for name, count in document["limits"].items())),
        *_checked(parity, gauc),
    ]
    if "personal" in document:
        head.append(("personal patches", _personal_text(document["personal"])))
    sizes = [(part, format_value(size), "") for part, size in document["sizes"].items()]
    ops = [(name, kind, format_value(count)) for name, model in models.items() for kind, count in model["ops"].items()]
    shapes = [
        (name, side, f"{key} {tuple(shape)}")
        for name, model in models.items()
        for side, entries in (("in", model["inputs"]), ("out", model["outputs"]))
        for key, shape in entries.items()
    ]
    columns = ("table", "keys", "dimension", "type", "shards", "bytes")
    fields = ("keys", "dimension", "dtype", "shards", "bytes")
    mixing = () if "mixing" not in document else _mixing(MixSettings.model_validate(document["mixing"]))
    return Group(
        table_of(("", ""), head, header=False),
        "",
        table_of(("part", "bytes", ""), sizes),
        "",
        table_of(
            ("model", "bytes", "operations", "commands"),
            [
                (name, *(format_value(model[key]) for key in ("bytes", "operations", "commands")))
                for name, model in models.items()
            ],
        ),
        "",
        table_of(("model", "command", "times"), ops),
        "",
        table_of(("model", "side", "shape"), shapes),
        "",
        table_of(columns, [(name, *(format_value(entry[key]) for key in fields)) for name, entry in tables.items()]),
        "",
        *((precision_table(document["precisions"]), "") if document["precisions"] else ()),
        *mixing,
        table_of(("tool", "version"), sorted(document["tools"].items())),
    )


def _mixing(settings: MixSettings) -> tuple[RenderableType, ...]:
    """Return the rules of a mixed feed, and the first prices."""
    prices = ", ".join(f"{kind} {price:g}" for kind, price in settings.start_prices.items())
    prior = "" if settings.prior is not None else " (no prior)"
    return rules_table(settings.rules), Text(shown(f"first prices: {prices}{prior}")), ""


def _personal_text(personal: Mapping[str, Any]) -> str:
    """Return text that says how patches of one user are trained."""
    return (
        f"{personal['method']}: {personal['rank']} numbers and a bias, read from {personal['inputs']} activations; "
        f"{personal['patch_bytes']:,} bytes a user"
    )


def precision_table(rows: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return a table of the precisions that an export compared. It has latencies if the document has them."""
    names = {
        "device_bytes": "device bytes",
        "drift": "drift of logits",
        "gauc_difference": "GAUC difference",
        "rerank_p50_us": "re-rank p50 us",
        "step_p50_us": "step p50 us",
    }
    known = [key for key in names if all(row.get(key) is not None for row in rows.values())]
    cells = [(name, *(format_value(rows[name][key]) for key in known)) for name in PRECISIONS if name in rows]
    return table_of(("precision", *(names[key] for key in known)), cells)


def _checked(parity: Mapping[str, Any], gauc: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the lines about the comparison of MNN with Keras."""
    real = counted(parity["requests"], "real request", "real requests")
    values = ", ".join(
        f"{name} {'unknown' if gauc.get(key) is None else format_value(gauc[key])}"
        for key, name in (("keras", "Keras"), ("mnn", "MNN"))
    )
    return [
        ("MNN against Keras", f"logits differ by at most {format_value(parity['max_abs_error'])} (tolerance "
                              f"{_tolerance_text(parity)})"),
        ("orders", f"equal for {parity['orders_equal']:,} of {real}"),
        ("GAUC", f"{values}, on these {real}"),
    ]  # fmt: skip


def _tolerance_text(parity: Mapping[str, Any]) -> str:
    relative = parity["relative_tolerance"]
    return f"{parity['tolerance']:g}" + (f", and {relative:g} of a logit" if relative else "")


def _signature_text(signature: Mapping[str, Any]) -> str:
    """Return text that says whether a bundle is signed and whether the signature was checked."""
    parts = [part for part, signed in signature["parts"].items() if signed]
    if not parts:
        return "not signed"
    if signature["checked"]:
        return "valid"
    return f"signed ({', '.join(parts)}); not checked: give --public-key"
