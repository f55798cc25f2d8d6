"""Prices of kinds of cards that the server hands out with pages. The file is read again when it changes."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from edgerec.core.errors import ConfigurationError
from edgerec.core.text import printable
from edgerec.paging.mix_prices import LARGEST, is_price, price_values

State = tuple[int, int, int] | None
"""Inode, time of change and size of the file; None: it does not exist."""
MOST_BYTES = 100_000


class MixPrices:
    """The prices in a JSON file: `{"prices": {"ad": 1.2}}`, perhaps with `version_id`.

    With `version_id`, only devices with this model version get them; so a file of `edgerec mix fit` can be given. If a
    changed file is not valid, the prices before stay, and the server says so once.

    Args:
        path: the file.

    Raises:
        ConfigurationError: the file cannot be read, or a price is not valid.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        self._state = _state(path)
        self._version_id, self._prices = _read(path)
        self._kinds: Callable[[], Mapping[str, Sequence[str]]] | None = None

    def compare_with(self, kinds: Callable[[], Mapping[str, Sequence[str]]]) -> None:
        """Say on stderr, now and after each change of the file, if devices do not use some of the prices.

        Args:
            kinds: returns the kinds of the rules of each served version, by its ID; none for a version without rules.
        """
        with self._lock:
            self._kinds = kinds
            self._compare()

    def _compare(self) -> None:
        text = None if self._kinds is None else unused(self._version_id, self._prices, self._kinds())
        if text is not None:
            sys.stderr.write(printable(f"edgerec: {self._path}: {text}") + "\n")

    def values(self, version_id: str | None) -> dict[str, float]:
        """Return the values of the context of a page for a model version."""
        with self._lock:
            state = _state(self._path)
            if state != self._state:
                self._state = state
                try:
                    self._version_id, self._prices = _read(self._path)
                    self._compare()
                except ConfigurationError as error:
                    sys.stderr.write(f"edgerec: the prices before stay: {error}\n")
            return price_values(self._prices) if self._version_id in (None, version_id) else {}


def unused(version_id: str | None, prices: Mapping[str, float], kinds: Mapping[str, Sequence[str]]) -> str | None:
    """Return which prices no device uses, and why, or None.

    Args:
        version_id: the version that gets the prices; None: all versions.
        prices: the prices by kind.
        kinds: the kinds of the rules of each served version, by its ID.
    """
    if not prices:
        return "it has no prices, so those of the bundles hold"
    if version_id is not None and version_id not in kinds:
        served = ", ".join(kinds) or "none"
        return f"its version_id {version_id} is not served, so no device gets its prices; the served versions: {served}"
    getting = kinds if version_id is None else [version_id]
    known = sorted({kind for each in getting for kind in kinds[each]})
    if not known:
        bundles = ", ".join(getting) or "none"
        return f"no bundle that gets its prices ({bundles}) has rules, so no device uses them"
    odd = [kind for kind in prices if kind not in known]
    if not odd:
        return None
    return f"its price of {odd[0]!r:.40} has no effect: the kinds of the rules are {', '.join(known)}"


def _state(path: Path) -> State:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _read(path: Path) -> tuple[str | None, Mapping[str, float]]:
    """Return the version ID, or None, and the prices of a file."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        document = json.loads(content) if len(content) <= MOST_BYTES else None
    except OSError as error:
        raise ConfigurationError(
            f"serve: {path} cannot be read ({error.strerror}): give a JSON file of prices"
        ) from None
    except (ValueError, RecursionError):
        document = None
    prices = document.get("prices") if isinstance(document, dict) else None
    version_id = document.get("version_id") if isinstance(document, dict) else None
    if not isinstance(prices, dict) or not isinstance(version_id, (str, type(None))):
        raise ConfigurationError(
            f"serve: {path} should be a JSON object with `prices`, numbers by kind, and perhaps `version_id`, such as "
            '{"prices": {"ad": 1.2}}'
        )
    for kind, price in prices.items():
        if not is_price(price):
            raise ConfigurationError(
                printable(
                    f"serve: {path}: the price of {kind!r:.40} should be a number from {-LARGEST:g} to {LARGEST:g}; "
                    f"received {price!r:.40}"
                )
            )
    return version_id, {kind: float(price) for kind, price in prices.items()}
