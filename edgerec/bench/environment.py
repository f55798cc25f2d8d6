"""Describe the machine of a measurement, because a latency depends on it."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from importlib import metadata
from typing import Any

import psutil


def environment(distributions: Iterable[str] = ()) -> dict[str, Any]:
    """Return the processor, cores, load, memory, operating system, and versions of the measured packages.

    Args:
        distributions: the Python distributions that are measured, in addition to EdgeRec, MNN and NumPy.
    """
    return {
        "processor": _processor(),
        "machine": platform.machine(),
        "cores": os.cpu_count() or 0,
        "load_1min": round(psutil.getloadavg()[0], 2),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in ("edgerec", "MNN", "numpy", *distributions)},
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith(("model name", "Hardware"))]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or "unknown"


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
