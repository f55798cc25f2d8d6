from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgerec.core.errors import FormatError, OutputError
from edgerec.features.vocabulary import MISSING_ID, Vocabulary
from edgerec.features.vocabulary_files import open_vocabularies, save_vocabularies
from tests.full_disk import files_up_to


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def test_rows_of_known_ids_start_at_one() -> None:
    vocabulary = Vocabulary(ints(-5, 3, 8))
    assert vocabulary.rows == 4
    rows = vocabulary.lookup(ints(3, -5, 8, 4, 99, MISSING_ID))
    assert rows.tolist() == [2, 1, 3, 0, 0, 0]
    assert rows.dtype == np.int32


def test_an_empty_vocabulary_knows_no_id() -> None:
    empty = Vocabulary(ints())
    assert (empty.rows, empty.lookup(ints(1, 2)).tolist()) == (1, [0, 0])


def test_fit_keeps_the_most_frequent_ids_and_the_smaller_of_equally_frequent_ones() -> None:
    ids = ints(9, 9, 9, 4, 4, 2, 2, 7, MISSING_ID, MISSING_ID, MISSING_ID)
    assert Vocabulary.fit(ids, size=10, min_count=1).keys.tolist() == [2, 4, 7, 9]
    assert Vocabulary.fit(ids, size=10, min_count=2).keys.tolist() == [2, 4, 9]
    assert Vocabulary.fit(ids, size=2, min_count=1).keys.tolist() == [2, 9]
    assert Vocabulary.fit(ids, size=2, min_count=4).keys.tolist() == []


def test_fit_with_counts_equals_fit_of_repeated_ids() -> None:
    ids, counts = ints(9, 4, 2, 9, 7, 5, MISSING_ID), ints(2, 2, 2, 1, 1, 0, 9)
    for size, least in ((10, 1), (10, 2), (2, 1), (2, 4)):
        expected = Vocabulary.fit(np.repeat(ids, counts), size=size, min_count=least)
        assert Vocabulary.fit(ids, size=size, min_count=least, counts=counts).keys.tolist() == expected.keys.tolist()


@pytest.mark.parametrize(
    "keys",
    [ints(2, 1), ints(1, 1), ints(MISSING_ID, 1), np.array([1.0]), np.array([[1]]), np.array([1], np.int32)],
)
def test_keys_that_are_not_a_vocabulary_are_an_error(keys: np.ndarray) -> None:
    with pytest.raises(FormatError, match="a vocabulary should"):
        Vocabulary(keys)


def test_saved_vocabularies_are_loaded_without_change(tmp_path: Path) -> None:
    vocabularies = {"brand": Vocabulary(ints(1, 2**62)), "shop": Vocabulary(ints())}
    save_vocabularies(vocabularies, tmp_path / "v")
    loaded = open_vocabularies({"brand": 9, "shop": 9}, tmp_path / "v")
    assert {name: vocabulary.keys.tolist() for name, vocabulary in loaded.items()} == {"brand": [1, 2**62], "shop": []}


def test_a_damaged_or_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=r"brand\.npy cannot be read"):
        open_vocabularies({"brand": 9}, tmp_path)
    file = tmp_path / "brand.npy"
    with file.open("wb") as archive:
        np.savez(archive, a=ints(1))
    with pytest.raises(FormatError, match=r"brand\.npy: .*received NpzFile"):
        open_vocabularies({"brand": 9}, tmp_path)
    for content in (b"", b"no array"):
        file.write_bytes(content)
        with pytest.raises(FormatError, match=r"brand\.npy cannot be read"):
            open_vocabularies({"brand": 9}, tmp_path)
    np.save(file, ints(2, 1))
    with pytest.raises(FormatError, match=r"brand\.npy: .*strictly ascending"):
        open_vocabularies({"brand": 9}, tmp_path)


@given(ids=st.lists(st.integers(-(2**63) + 1, 2**63 - 1), max_size=20), size=st.integers(1, 8))
def test_each_kept_id_has_its_own_row(ids: list[int], size: int) -> None:
    vocabulary = Vocabulary.fit(ints(*ids), size=size, min_count=1)
    assert len(vocabulary.keys) == min(size, len(set(ids)))
    assert vocabulary.lookup(vocabulary.keys).tolist() == list(range(1, vocabulary.rows))


def test_a_full_disk_is_an_output_error(tmp_path: Path) -> None:
    with (
        files_up_to(64),
        pytest.raises(OutputError, match=r"vocabulary: cannot write .*x\.npy \(File too large\): free"),
    ):
        save_vocabularies({"x": Vocabulary(np.array([1]))}, tmp_path / "v")
