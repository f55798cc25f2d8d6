"""What mixing remembers of each kind of cards: counts of the running period, and the drift of its price."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import isfinite
from typing import Any

from edgerec.device_runtime.store.database import Database
from edgerec.device_runtime.store.statements import read_statements
from edgerec.device_runtime.store.values import json_text
from edgerec.mixing.prices import KindState
from edgerec.mixing.quota import Shown


class MixingTable:
    """The state of mixing: one row, which is replaced with each card that the user has seen."""

    def __init__(self, database: Database) -> None:
        self._database, self._sql = database, read_statements("mixing")

    def read(self) -> dict[str, KindState]:
        """Return the state of each kind. It is empty before the first card."""
        row = self._database.row(self._sql["state"])
        if row is None:
            return {}
        try:
            return {name: _state(fields) for name, fields in json.loads(row[0]).items()}
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise self._database.damaged(f"state of mixing: {error}") from None

    def put(self, states: Mapping[str, KindState]) -> None:
        """Replace the state, as a part of the caller's transaction.

        Raises:
            StoreError: a number is not finite.
        """
        fields = {
            name: {
                "cards": one.shown.cards,
                "own": one.shown.own,
                "day": one.shown.day,
                "last": one.shown.last,
                "drift": one.drift,
            }
            for name, one in states.items()
        }
        self._database.execute(self._sql["write_state"], (json_text("mixing", fields),))


def _state(fields: Mapping[str, Any]) -> KindState:
    cards, own, day, last, drift = (fields[name] for name in ("cards", "own", "day", "last", "drift"))
    whole = all(type(value) is int for value in (cards, own, day)) and (last is None or type(last) is int)
    if not whole or not isinstance(drift, (int, float)) or not isfinite(drift) or not 0 <= own <= cards:
        raise ValueError(f"wrong counts {fields!r:.100}")
    return KindState(Shown(cards, own, day, last), float(drift))
