"""The head of ESAN, and its file."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest

from edgerec.core.errors import FormatError
from edgerec.mixing.head import CardVectors, SurroundingsHead
from edgerec.mixing.surroundings import Surroundings
from tests.mixing.esan_problems import random_head, random_vectors


def test_logits_of_known_weights():
    head = random_head(np.random.default_rng(1), hidden=2)
    tables = {
        name: np.zeros_like(getattr(head, name)) for name in ("previous", "following", "distance", "count", "place")
    }
    tables["previous"][1, 2 + 2] = [1, -5]
    tables["place"][1] = 0.25
    head = SurroundingsHead(head.kinds, **tables, output=np.array([2, 3], np.float32), bias=np.array([0.5], np.float32))
    own, zero = np.array([[1, 1]], np.float32), np.zeros((1, 2), np.float32)
    one = np.array([1])
    around = Surroundings(own=one, previous=one + 3, following=one - 1, distance=one - 1, count=one - 1, place=one)
    assert head.logits(CardVectors(own, zero, zero), around).tolist() == [2 * 2 + 3 * 0 + 0.5 + 0.25]
    assert head.relevance(CardVectors(own, zero, zero)).tolist() == [2 + 3 + 0.5]


def test_unknown_surroundings_are_relevance():
    rng = np.random.default_rng(2)
    head, vectors = random_head(rng), random_vectors(rng, 6)
    alone = CardVectors(vectors.own, np.zeros_like(vectors.own), np.zeros_like(vectors.own))
    around = Surroundings.unknown(np.array([0, 1, 2, 3, 4, 1]))
    np.testing.assert_allclose(head.logits(alone, around), head.relevance(vectors), rtol=1e-6)


def test_bytes_round_trip():
    head = random_head(np.random.default_rng(3))
    content = head.to_bytes()
    again = SurroundingsHead.from_bytes(content)
    assert again.to_bytes() == content == head.to_bytes()
    assert again.kinds == head.kinds
    np.testing.assert_array_equal(again.count, head.count)


def _changed(**arrays: np.ndarray) -> bytes:
    with np.load(io.BytesIO(random_head(np.random.default_rng(4)).to_bytes())) as members:
        content = io.BytesIO()
        np.savez(content, **{**members, **arrays})
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "cannot be read"),
        (_changed()[:-200], "cannot be read"),
        (_changed(output=np.zeros(3, np.float32)), "previous should be float32 of shape"),
        (_changed(bias=np.zeros(1)), "bias should be float32 of shape"),
        (_changed(bias=np.full(1, np.nan, np.float32)), "bias should be finite"),
        (_changed(count=np.ones((5, 9, 8), np.float32)), "row 0 of each table should be zero"),
        (_changed(kinds=np.array(["a", "a", "b", "c"])), "1 to 254 different names"),
        (_changed(kinds=np.zeros(4)), "kinds should be texts"),
        (_changed(kinds=np.array(["a", None, "b", "c"])), "cannot be read"),
        (bytes(1 << 25), "at most 16777216 bytes"),
    ],
)
def test_damaged_file_is_one_clear_line(content, fault):
    with pytest.raises(FormatError, match=fault) as caught:
        SurroundingsHead.from_bytes(content)
    assert "\n" not in str(caught.value)


def test_any_changed_byte_is_refused_or_harmless():
    content = bytearray(random_head(np.random.default_rng(4), hidden=2).to_bytes())
    rng = np.random.default_rng(0)
    for _ in range(150):
        damaged = bytearray(content)
        damaged[rng.integers(len(content))] ^= 1 << rng.integers(8)
        with contextlib.suppress(FormatError):
            SurroundingsHead.from_bytes(bytes(damaged))
