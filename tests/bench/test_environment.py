from __future__ import annotations

from datetime import datetime, timezone

from edgerec.bench.environment import environment


def test_the_environment_names_the_processor_and_the_versions() -> None:
    measured = environment(["onnxruntime", "not-installed"])
    assert measured["cores"] >= measured["cores_usable"] >= 1
    assert measured["processor"]
    assert measured["memory_bytes"] > 10**8
    assert measured["versions"]["MNN"]
    assert measured["versions"]["onnxruntime"]
    assert measured["versions"]["not-installed"] is None
    assert measured["emulated"] is False
    assert set(measured["frequency_mhz"]) == {"min", "max", "current"}
    age = datetime.now(timezone.utc) - datetime.fromisoformat(measured["date"])
    assert 0 <= age.total_seconds() < 3600
