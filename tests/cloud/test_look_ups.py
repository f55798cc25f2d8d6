from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from edgerec.cloud.versions import LookUps
from edgerec.kv.store import Lookup


def test_threads_lose_no_counts() -> None:
    look_ups = LookUps()
    found = [Lookup(np.zeros((3, 2), np.float32), np.array([True, False, True]))] * 5
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as threads:
            for each in [threads.submit(lambda: [look_ups.add(found, 0.5) for _ in range(500)]) for _ in range(8)]:
                each.result()
    finally:
        sys.setswitchinterval(before)
    assert (look_ups.keys, look_ups.unknown, look_ups.seconds) == (60_000, 20_000, 2_000.0)
