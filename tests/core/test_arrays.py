from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from edgerec.core.arrays import array_writer, read_members, save_array
from edgerec.core.errors import FormatError, OutputError
from tests.full_disk import files_up_to


def load(path: Path) -> dict[str, np.ndarray]:
    return read_members(path, ["a", "b"], what="thing", advice="make it again")


def npy(array: np.ndarray, *, shape: tuple[int, ...] | None = None) -> bytes:
    """Return the bytes of an npy file. Its header states `shape`, or else the array's own shape."""
    content = io.BytesIO()
    header = np.lib.format.header_data_from_array_1_0(array)
    np.lib.format.write_array_header_1_0(content, {**header, "shape": shape or array.shape})
    return content.getvalue() + array.tobytes()


def archive(path: Path, members: dict[str, bytes], *, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return path


A, B = np.arange(6, dtype=np.float32).reshape(2, 3), np.zeros((0, 4), np.int64)


def test_files_written_by_numpy_are_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=A, b=B, more=A)
    archive(tmp_path / "y.npz", {"a": npy(A), "b": npy(B)})
    for name in ("x.npz", "y.npz"):
        arrays = load(tmp_path / name)
        assert sorted(arrays) == ["a", "b"]
        np.testing.assert_array_equal(arrays["a"], A)
        assert arrays["b"].shape == (0, 4)


@pytest.mark.parametrize("shape", [(2, 4), (2, 2), (10**9,), (10**13, 10**13), (0,), (2**62, 4)])
def test_a_header_with_a_wrong_size_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    """NumPy would allocate memory for the stated shape before it notices the missing data."""
    path = archive(tmp_path / "x.npz", {"a": npy(A, shape=shape), "b": npy(B)})
    with pytest.raises(FormatError, match="but its data has another size"):
        load(path)


def test_a_compressed_array_is_refused(tmp_path: Path) -> None:
    """A compressed array may need far more memory than its file has bytes."""
    path = archive(tmp_path / "x.npz", {"a": npy(np.zeros(10**6)), "b": npy(B)}, compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 20_000
    with pytest.raises(FormatError, match="compressed"):
        load(path)


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=np.array([{"x": 1}], dtype=object), b=B)
    with pytest.raises(FormatError, match="cannot be read"):
        load(tmp_path / "x.npz")


@pytest.mark.parametrize("array", [A, B, A.T, A[:, ::2], A[0], np.zeros((3, 0), np.uint8), np.asfortranarray(A)])
def test_an_array_is_written_with_the_bytes_of_numpy(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "numpy.npy", array)
    save_array(tmp_path / "ours.npy", array, what="thing")
    assert (tmp_path / "ours.npy").read_bytes() == (tmp_path / "numpy.npy").read_bytes()


def test_an_array_may_be_written_in_pieces(tmp_path: Path) -> None:
    np.save(tmp_path / "numpy.npy", np.arange(7))
    with array_writer(tmp_path / "ours.npy", np.int64, 7, what="thing") as add:
        for piece in (np.arange(3), np.zeros(0, np.int64), np.arange(3, 7, dtype=np.int32)):
            add(piece)
    assert (tmp_path / "ours.npy").read_bytes() == (tmp_path / "numpy.npy").read_bytes()


@pytest.mark.parametrize("size", [0, 100, 128, 8000])
def test_an_array_that_does_not_fit_on_the_disk_is_an_error(tmp_path: Path, size: int) -> None:
    """The file has 8,128 bytes. `np.save` would lose the last ones silently."""
    with files_up_to(size), pytest.raises(OutputError, match=r"thing: cannot write .*x\.npy .*: free some space"):
        save_array(tmp_path / "x.npy", np.arange(1000), what="thing")
    with (
        files_up_to(size),
        pytest.raises(OutputError, match=r"thing: cannot write .*x\.npy .*: free some space"),
        array_writer(tmp_path / "x.npy", np.int64, 1000, what="thing") as add,
    ):
        add(np.arange(1000))
