from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest

from edgerec.device_runtime.session import Session
from edgerec.graphs.attention import LARGEST_SCORE
from edgerec.graphs.builder import GraphBuilder
from edgerec.graphs.list_context import ListAttentionWeights, add_list_attention
from edgerec.graphs.weights import DenseWeights
from tests.mnn_models import to_mnn

K, UNITS = 12, 8


def dense(rng: np.random.Generator, inputs: int, width: int, scale: float = 0.4) -> DenseWeights:
    return DenseWeights(
        rng.normal(scale=scale, size=(inputs, width)).astype(np.float32),
        rng.normal(scale=0.1, size=width).astype(np.float32),
    )


def random_block(seed: int = 0, *, scale: float = 0.4, heads: int = 2) -> ListAttentionWeights:
    rng = np.random.default_rng(seed)
    norms = [
        (rng.uniform(0.5, 1.5, UNITS).astype(np.float32), rng.normal(scale=0.1, size=UNITS).astype(np.float32))
        for _ in range(2)
    ]
    return ListAttentionWeights(
        first_norm=norms[0],
        projection=dense(rng, UNITS, 3 * UNITS, scale),
        merge=dense(rng, UNITS, UNITS),
        second_norm=norms[1],
        widen=dense(rng, UNITS, 2 * UNITS),
        narrow=dense(rng, 2 * UNITS, UNITS),
        heads=heads,
    )


def normalised(x: np.ndarray, scale: np.ndarray, offset: np.ndarray) -> np.ndarray:
    centred = x - x.mean(axis=1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5) * scale + offset


def parts(block: ListAttentionWeights, x: np.ndarray) -> np.ndarray:
    """Return queries, keys and values in float64. Shape (3, heads, k, width)."""
    rows = normalised(x, *block.first_norm) @ block.projection.kernel + block.projection.bias
    return rows.reshape(len(x), 3, block.heads, -1).transpose(1, 2, 0, 3)


def expected(block: ListAttentionWeights, x: np.ndarray) -> np.ndarray:
    """Compute the block for a list without padding, as `ListAttention` does."""
    query, key, value = parts(block, x)
    scores = query @ key.transpose(0, 2, 1) * block.scale
    weights = np.exp(scores - scores.max(axis=2, keepdims=True))
    read = weights / weights.sum(axis=2, keepdims=True) @ value
    x = x + read.transpose(1, 0, 2).reshape(len(x), UNITS) @ block.merge.kernel + block.merge.bias
    inner = np.maximum(normalised(x, *block.second_norm) @ block.widen.kernel + block.widen.bias, 0)
    return x + inner @ block.narrow.kernel + block.narrow.bias


def model_of(block: ListAttentionWeights) -> onnx.ModelProto:
    graph = GraphBuilder()
    graph.node("Identity", add_list_attention(graph, block, "x", candidates=K), out="y")
    return graph.model("list_attention", {"x": (K, UNITS), "valid": (K, 1)}, {"y": (K, UNITS)})


@pytest.mark.parametrize("heads", [1, 2])
@pytest.mark.parametrize(("scale", "softmax", "tolerance"), [(0.4, 0, 2e-5), (4.0, 1, 5e-4)])
def test_padding_is_not_read_and_large_scores_take_a_softmax(
    heads: int, scale: float, softmax: int, tolerance: float
) -> None:
    """With the large weights, scores are some hundreds. Their rounding in float32 changes the weights of a softmax."""
    block = random_block(scale=scale, heads=heads)
    assert (block.largest_score() > LARGEST_SCORE) == bool(softmax)
    model = model_of(block)
    kinds = Counter(node.op_type for node in model.graph.node)
    assert (kinds["Softmax"], kinds["Exp"]) == (softmax, 1 - softmax)
    rng = np.random.default_rng(1)
    onnx_session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    mnn_session = Session(to_mnn(model))
    for count in (1, 5, K):
        x = rng.normal(scale=3.0, size=(K, UNITS)).astype(np.float32)
        valid = (np.arange(K) < count).astype(np.float32)[:, np.newaxis]
        want = expected(block, x[:count].astype(np.float64))
        for y in (onnx_session.run(["y"], {"x": x, "valid": valid})[0], mnn_session.run(x=x, valid=valid)["y"]):
            np.testing.assert_allclose(y[:count], want, atol=tolerance)


@pytest.mark.parametrize("heads", [1, 2, 4])
@pytest.mark.parametrize("seed", range(3))
def test_no_score_exceeds_the_bound(seed: int, heads: int) -> None:
    block = random_block(seed, heads=heads)
    rng = np.random.default_rng(seed)
    query, key, _ = parts(block, np.concatenate([rng.normal(size=(500, UNITS)), 1e4 * np.eye(UNITS)]))
    largest = float(np.abs(query @ key.transpose(0, 2, 1)).max() * block.scale)
    assert largest <= block.largest_score() <= 4 * largest


def test_a_bound_has_a_known_value() -> None:
    # The norm changes nothing. In the only head, queries are 2 n and keys are 3 n, with n of length at most sqrt(4). So
    # the largest score is 2 * 3 * 4 / sqrt(4) = 12. The bias adds 1 to the first column of the keys: 2 * 2 / sqrt(4).
    block = random_block(heads=1)
    one, zero = np.ones(4, np.float32), np.zeros(4, np.float32)
    kernel = np.concatenate([2 * np.eye(4), 3 * np.eye(4), np.eye(4)], axis=1).astype(np.float32)
    square = DenseWeights(np.eye(4, dtype=np.float32), zero)
    block = dataclasses.replace(
        block, first_norm=(one, zero), projection=DenseWeights(kernel, np.zeros(12, np.float32)), merge=square
    )
    assert block.largest_score() == pytest.approx(12)
    bias = np.zeros(12, np.float32)
    bias[4] = 1
    block = dataclasses.replace(block, projection=DenseWeights(kernel, bias))
    assert block.largest_score() == pytest.approx(14)
