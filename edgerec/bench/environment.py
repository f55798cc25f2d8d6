"""Describe the machine of a measurement, because a latency depends on it. What the system does not tell is None."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from edgerec.core.parallel import cores

FEATURES = (
    *("sse4_2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512_vnni", "avx_vnni", "amx_tile"),
    *("neon", "asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve", "sve2"),
)
"""The instruction sets that matter for inference, as /proc/cpuinfo names them."""
_CPUFREQ = Path("/sys/devices/system/cpu/cpu0/cpufreq")
_POWER = Path("/sys/class/power_supply")
_PROCESSOR_SENSORS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "cpu-thermal", "soc_thermal", "acpitz")


def environment(distributions: Iterable[str] = ()) -> dict[str, Any]:
    """Return the processor, memory, operating system, load, power, and versions of the measured packages.

    Args:
        distributions: the Python distributions that are measured, in addition to EdgeRec, MNN and NumPy.
    """
    info = _cpuinfo()
    return {
        "processor": _processor(info),
        "features": _features(info),
        "machine": platform.machine(),
        "cores": os.cpu_count() or 0,
        "cores_usable": cores(),
        "memory_bytes": psutil.virtual_memory().total,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": versions(distributions),
        "governor": _text(_CPUFREQ / "scaling_governor"),
        "frequency_mhz": _frequencies(),
        "temperature_c": temperature_c(),
        "load_start": load(),
        "load_end": None,
        "emulated": _emulated(info),
        "container": _container(),
        "power": _power(),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def versions(distributions: Iterable[str] = ()) -> dict[str, str | None]:
    """Return the versions of EdgeRec, MNN, NumPy and `distributions`; None for one that is not installed."""
    return {name: _version(name) for name in ("edgerec", "MNN", "numpy", *distributions)}


def load() -> float | None:
    """Return the load of the last minute: the number of processes that ran or waited for a processor."""
    try:
        return round(float(psutil.getloadavg()[0]), 2)
    except OSError:
        return None


def frequency_mhz() -> float | None:
    """Return the present frequency of the first processor in MHz."""
    kilohertz = _text(_CPUFREQ / "scaling_cur_freq")
    if kilohertz is not None and kilohertz.isdigit():
        return int(kilohertz) / 1000
    try:
        found = psutil.cpu_freq()
    except (OSError, NotImplementedError, RuntimeError):
        return None
    return round(float(found.current), 1) if found is not None and found.current else None


def temperature_c() -> float | None:
    """Return the highest temperature of the processor in degrees Celsius."""
    try:
        sensors = psutil.sensors_temperatures()
    except (AttributeError, OSError):
        return None
    for name in _PROCESSOR_SENSORS:
        values = [one.current for one in sensors.get(name, ()) if one.current]
        if values:
            return float(max(values))
    return None


def _cpuinfo() -> dict[str, str]:
    """Return the values of /proc/cpuinfo by key. For a key of each processor, it is the value of the first one."""
    found: dict[str, str] = {}
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return found
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon:
            found.setdefault(key.strip(), value.strip())
    return found


def _processor(info: dict[str, str]) -> str:
    board = _text(Path("/sys/firmware/devicetree/base/model"))
    names = (info.get("model name"), info.get("Hardware"), board, platform.processor())
    return next((name.strip("\0 ") for name in names if name), "unknown")


def _features(info: dict[str, str]) -> list[str]:
    known = (info.get("flags") or info.get("Features") or "").split()
    return [name for name in FEATURES if name in known]


def _frequencies() -> dict[str, float | None]:
    limits = (_text(_CPUFREQ / f"cpuinfo_{which}_freq") for which in ("min", "max"))
    low, high = (int(text) / 1000 if text is not None and text.isdigit() else None for text in limits)
    return {"min": low, "max": high, "current": frequency_mhz()}


def _emulated(info: dict[str, str]) -> bool | None:
    """Return whether this process runs under an emulator of another processor (qemu-user). None if it is not known.

    Two signs are read. The kernel names QEMU as the running program, which QEMU hides in `/proc/self` only. And the
    kernel's own description of the processor is that of the host, whose keys differ between architectures.
    """
    with contextlib.suppress(OSError):
        if os.path.basename(os.readlink("/proc/thread-self/exe")).startswith("qemu-"):
            return True
    if not info:
        return None
    arm = platform.machine().lower() in ("aarch64", "arm64", "armv7l")
    return ("vendor_id" in info) if arm else ("CPU implementer" in info)


def _container() -> str | None:
    if Path("/.dockerenv").exists():
        return "docker"
    if Path("/run/.containerenv").exists():
        return "podman"
    if "TERMUX_VERSION" in os.environ:
        return "termux"
    return os.environ.get("container")  # noqa: SIM112 (systemd's name for it)


def _power() -> str | None:
    """Return `ac` or `battery`."""
    states = list(_power_states())
    if "ac" in states:
        return "ac"
    return states[0] if states else None


def _power_states() -> Iterator[str]:
    for supply in sorted(_POWER.glob("*")):
        kind, online, status = (_text(supply / name) for name in ("type", "online", "status"))
        if kind in ("Mains", "USB") and online == "1":
            yield "ac"
        elif kind == "Battery" and status is not None:
            yield "battery" if status == "Discharging" else "ac"


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip() or None
    except OSError:
        return None


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
