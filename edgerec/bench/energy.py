"""Energy of a call, from the counters of the processor package (RAPL), where the kernel lets this user read them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

POWERCAP = Path("/sys/class/powercap")
SECONDS = 0.3
"""How long each implementation runs. The counters are renewed every millisecond."""


class EnergyCounters:
    """The counters of all processor packages.

    Args:
        folder: the kernel's folder of power zones.

    Attributes:
        readable: whether there is a counter that this user may read.
    """

    def __init__(self, folder: Path = POWERCAP) -> None:
        # A package is `intel-rapl:0`, also on AMD. Zones with a second number are parts of it.
        zones = [zone for zone in sorted(folder.glob("intel-rapl:*")) if zone.name.count(":") == 1]
        self._zones = [zone for zone in zones if _read(zone / "energy_uj") is not None]
        self.readable = bool(self._zones)

    def microjoules(self, call: Callable[[], Any], *, seconds: float = SECONDS) -> float | None:
        """Return the energy of one call. The call is repeated for `seconds`. None if it cannot be read.

        It is the energy of the whole package, so other programs and idle cores are included.
        """
        before = self._values()
        count, end = 0, time.perf_counter() + seconds
        while time.perf_counter() < end:
            call()
            count += 1
        after = self._values()
        used = 0
        for zone, first, last in zip(self._zones, before, after, strict=True):
            if first is None or last is None:
                return None
            if last < first:  # A counter starts again from 0 after its range.
                full = _read(zone / "max_energy_range_uj")
                if full is None:
                    return None
                last += full
            used += last - first
        return used / count if used > 0 else None

    def _values(self) -> list[int | None]:
        return [_read(zone / "energy_uj") for zone in self._zones]


def _read(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
