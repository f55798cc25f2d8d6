"""The tables of `edgerec mix`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group

from edgerec.cli.output import scalars, table_of


def prior_table(document: Mapping[str, Any]) -> Group:
    """Return the tables of `edgerec mix fit`: one row for each kind of card, then single figures."""
    kinds = list(document["prices"])
    rows = []
    for kind in kinds:
        scale, shift = document["calibration"][kind]
        error = document["calibration_error"][kind]
        without, priced = (document["shares"][what][kind] for what in ("without", "with"))
        rows.append(
            [
                kind,
                f"{error['exposures']:,}",
                f"{scale:.3f}, {shift:+.3f}",
                f"{error['before']:.4f}",
                f"{error['after']:.4f}",
                f"{without:.1%}",
                f"{priced:.1%}",
                f"{document['prices'][kind]:.4f}",
                f"{document['leaving']['by_kind'][kind]:+.4f}",
            ]
        )
    headings = (
        "kind",
        "exposures",
        "scale, shift",
        "calibration error",
        "after",
        "share without prices",
        "with",
        "price",
        "leaving",
    )
    return Group(table_of(headings, rows), scalars(document))
