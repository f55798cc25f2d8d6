from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from edgerec.core.arrays import load_members
from edgerec.core.errors import FormatError


def load(path: Path) -> dict[str, np.ndarray]:
    return load_members(path, ["a", "b"], what="thing", advice="make it again")


def npy(array: np.ndarray, *, shape: tuple[int, ...] | None = None) -> bytes:
    """An npy file that may state another shape than its array has."""
    content = io.BytesIO()
    header = np.lib.format.header_data_from_array_1_0(array)
    np.lib.format.write_array_header_1_0(content, {**header, "shape": shape or array.shape})
    return content.getvalue() + array.tobytes()


def archive(path: Path, members: dict[str, bytes], *, how: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", how) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return path


A, B = np.arange(6, dtype=np.float32).reshape(2, 3), np.zeros((0, 4), np.int64)


def test_what_numpy_writes_is_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=A, b=B, more=A)
    archive(tmp_path / "y.npz", {"a": npy(A), "b": npy(B)})
    for name in ("x.npz", "y.npz"):
        found = load(tmp_path / name)
        assert sorted(found) == ["a", "b"]
        np.testing.assert_array_equal(found["a"], A)
        assert found["b"].shape == (0, 4)


@pytest.mark.parametrize("shape", [(2, 4), (2, 2), (10**9,), (10**13, 10**13), (0,), (2**62, 4)])
def test_an_array_takes_no_more_than_its_bytes(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """NumPy would make room for whatever the header states, then miss the bytes."""
    path = archive(tmp_path / "x.npz", {"a": npy(A, shape=shape), "b": npy(B)})
    with pytest.raises(FormatError, match="which its bytes are not"):
        load(path)


def test_a_packed_array_is_refused(tmp_path: Path) -> None:
    """A thousand bytes may unpack to a million."""
    path = archive(tmp_path / "x.npz", {"a": npy(np.zeros(10**6)), "b": npy(B)}, how=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 20_000
    with pytest.raises(FormatError, match="packed"):
        load(path)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=np.array([{"x": 1}], dtype=object), b=B)
    with pytest.raises(FormatError, match="cannot be read"):
        load(tmp_path / "x.npz")
