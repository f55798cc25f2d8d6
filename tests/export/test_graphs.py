from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest

from edgerec.core.errors import ShapeError
from edgerec.device_runtime.encodings import Encodings
from edgerec.device_runtime.rank_feed import KindFeed
from edgerec.features.behaviours import EXPOSURE, PAGE_VIEW, Limits
from edgerec.graphs.attention import AttentionForm, AttentionWeights, sign_matrix
from edgerec.graphs.builder import GraphBuilder
from edgerec.graphs.gru import GruWeights, add_gru_stack
from edgerec.graphs.hubsm_step import HubsmWeights
from edgerec.graphs.ranking import Reading, behaviour_inputs
from edgerec.rankers.crban_graph import HeadWeights
from edgerec.rankers.crban_reference import build_reference_crban, build_reference_step
from tests import oracle
from tests.mnn_models import CANDIDATES, EXPOSURES, PAGE_VIEWS, graphs

LENGTHS = Limits(candidates=CANDIDATES, exposures=EXPOSURES, page_views=PAGE_VIEWS)


def run(model: onnx.ModelProto, **inputs: np.ndarray) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, inputs), strict=True))


def sequences(model: oracle.Model, seed: int, times: tuple[int, int]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    stacks = {"ie": model.ie, "ipv": model.ipv}
    return {
        kind: (
            rng.normal(size=(time, 1, 1, stack.action[0].input_width)).astype(np.float32),
            rng.normal(size=(time, 1, 1, stack.item[0].input_width)).astype(np.float32),
        )
        for (kind, stack), time in zip(stacks.items(), times, strict=True)
    }


def encode(model: oracle.Model, kind: str, pair: tuple[np.ndarray, np.ndarray]) -> oracle.Encoded:
    return oracle.encode(getattr(model, kind), *(part[:, 0, 0].astype(np.float64) for part in pair))


def test_a_gru_stack_equals_the_equation() -> None:
    rng = np.random.default_rng(1)
    stack = oracle.random_stack(rng, 5, units=8)
    graph = GraphBuilder()
    out = add_gru_stack(graph, "x", stack, time=6)
    graph.node("Identity", out, out="y")
    x = rng.normal(size=(6, 1, 5)).astype(np.float32)
    y = run(graph.model("gru", {"x": (6, 1, 5)}, {"y": (6, 8)}), x=x)["y"]
    np.testing.assert_allclose(y, oracle.gru_stack(stack, x[:, 0].astype(np.float64)), atol=1e-6)


def test_one_gru_step_has_known_values() -> None:
    # The kernel is one, and the recurrent kernel and the biases are zero. So the update gate is z = sigmoid(1), the
    # candidate state is tanh(1), and the new state is (1 - z) * tanh(1).
    layer = GruWeights(np.ones((1, 3), np.float32), np.zeros((1, 3), np.float32), np.zeros((2, 3), np.float32))
    graph = GraphBuilder()
    graph.node("Identity", add_gru_stack(graph, "x", (layer,), time=1), out="y")
    y = run(graph.model("gru", {"x": (1, 1, 1)}, {"y": (1, 1)}), x=np.ones((1, 1, 1), np.float32))["y"]
    np.testing.assert_allclose(y, [[0.2048242]], atol=1e-6)


def queries(form: AttentionForm, c: np.ndarray) -> np.ndarray:
    """Return the part of the exponents that depends on the candidates."""
    query = c @ form.query_kernel + form.query_bias
    return query if form.fold is None else np.maximum(query, 0) @ form.fold


@pytest.mark.parametrize("bounded", [True, False])
@pytest.mark.parametrize("units", [1, 3, 4, 32])
def test_the_product_form_equals_the_sum_of_tanh(units: int, bounded: bool) -> None:
    rng = np.random.default_rng(units)
    weights = oracle.random_attention(rng, units=units)
    form = weights.form(bounded=bounded)
    assert (form.product, form.fold is None) == (True, bounded)
    c, p = rng.uniform(-1, 1, size=(2, 5, units))
    c *= 1.0 if bounded else 20.0
    query = np.exp(queries(form, c))[:, None]
    assert bounded or query.max() <= 1.0
    key = np.exp(p @ form.key_kernel)[None]
    groups = (query * key).reshape(5, 5, form.groups, -1)
    fraction = ((groups * form.numerator.reshape(form.groups, -1)).sum(-1) / groups.sum(-1)).sum(-1)
    x = (c @ weights.query_kernel + weights.query_bias)[:, None] + (p @ weights.key_kernel)[None]
    np.testing.assert_allclose(fraction, np.tanh(x) @ weights.scale, atol=1e-5)


def test_every_sign_vector_occurs_once_in_each_group() -> None:
    signs = sign_matrix(8)
    assert signs.shape == (8, 32)
    assert len({tuple(column) for column in signs.T}) == 32
    assert (np.abs(signs).sum(axis=0) == 4).all()


def form_of(weights: AttentionWeights) -> str:
    form = weights.form()
    return "tanh" if not form.product else "direct" if form.fold is None else "divided"


@pytest.mark.parametrize(
    ("field", "form"),
    [("query_kernel", "divided"), ("query_bias", "divided"), ("key_kernel", "tanh"), ("scale", "tanh")],
)
def test_weights_that_could_exceed_the_range_of_float32_get_another_form(field: str, form: str) -> None:
    weights = oracle.random_attention(np.random.default_rng(0))
    assert form_of(weights) == "direct"
    large = dataclasses.replace(weights, **{field: getattr(weights, field) * np.float32(100)})
    assert form_of(large) == form
    assert large.form().key_width == (32 if form == "tanh" else 128)
    assert not weights.form(bias=60.0).product


@pytest.mark.parametrize("scale", [1, 100])
def test_attention_over_values_of_any_width_names_its_keys_by_their_sign(scale: int) -> None:
    """With 32 units and values of 8 numbers, the widths do not show that the keys of the tanh may be negative."""
    rng = np.random.default_rng(2)
    weights = oracle.random_attention(rng)
    weights = dataclasses.replace(weights, scale=weights.scale * np.float32(scale))
    form = weights.form()
    assert form.product == (scale == 1)
    graph = GraphBuilder()
    context = form.add_context(graph, "encodings", EXPOSURE, candidates=3, length=4, keys=form.keys_input)
    graph.node("Identity", context, out="context")
    inputs = behaviour_inputs(EXPOSURE, 4, form.key_width, 8, keys=form.keys_input)
    model = graph.model("attention", {"encodings": (3, 32), **inputs}, {"context": (3, 8)})
    arrays = {name: np.zeros(shape, np.float32) for name, shape in inputs.items()}
    feed = KindFeed(arrays, EXPOSURE)
    items, values = rng.normal(size=(2, 32)) / 9, rng.normal(size=(2, 8)).astype(np.float32)
    keys = items @ form.key_kernel
    encodings = Encodings(np.exp(keys).astype(np.float32) if form.product else keys.astype(np.float32), values)
    assert (encodings.keys.min() > 0) == feed.positive == form.product
    assert feed.check(encodings) == 2
    feed.write(encodings, None)
    candidates = rng.uniform(-1, 1, (3, 32)).astype(np.float32)
    query = candidates @ weights.query_kernel + weights.query_bias
    scores = np.tanh(query[:, None] + items @ weights.key_kernel) @ weights.scale
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    want = shares / shares.sum(axis=1, keepdims=True) @ values
    np.testing.assert_allclose(run(model, encodings=candidates, **arrays)["context"], want, atol=1e-4)


@pytest.mark.parametrize("scale", [1.0, 2.0])
@pytest.mark.parametrize("kind", ["ie", "ipv"])
def test_single_steps_equal_the_equations_of_the_whole_sequence(kind: str, scale: float) -> None:
    model = oracle.random_model(2, scale=scale)
    pair = sequences(model, 3, (30, 30))[kind]
    want = encode(model, kind, pair)
    attention = model.crban.attentions[EXPOSURE] if kind == "ie" else model.crban.attentions[PAGE_VIEW]
    rows = model.crban.head.context_rows(0) if kind == "ie" else model.crban.head.context_rows(1)
    form = attention.form()
    fast, plain = graphs(model)[kind], build_reference_step(getattr(model, kind), attention=attention)
    state = other = np.zeros((6, 1, 32), np.float32)
    for index, (action, item) in enumerate(zip(*pair, strict=True)):
        a = run(fast, action=action, item=item, state=state)
        b = run(plain, action=action, item=item, state=other)
        state, other = a["new_state"], b["new_state"]
        np.testing.assert_allclose(b["fused"][0], want.b[index], atol=1e-5)
        np.testing.assert_allclose(b["key"][0], want.p[index] @ attention.key_kernel, atol=2e-5)
        np.testing.assert_allclose(a["value"][:, 0], want.b[index] @ rows, atol=3e-5)
        key = want.p[index] @ form.key_kernel
        np.testing.assert_allclose(np.log(a["key"][:, 0]) if form.product else a["key"][:, 0], key, atol=5e-5)
        np.testing.assert_allclose(state, other, atol=1e-5)


def crban_inputs(
    model: oracle.Model, count: int, times: tuple[int, int], *, garbage: bool
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], np.ndarray]:
    """Return the inputs of the device graph and of the reference graph, and the logits that the equations give."""
    rng = np.random.default_rng(5)
    crban = model.crban
    candidates = rng.normal(size=(count, 21)).astype(np.float32)
    full = rng.normal(scale=9.0 if garbage else 0.0, size=(CANDIDATES, 1, 21)).astype(np.float32)
    full[:count, 0] = candidates
    last = np.zeros((1, CANDIDATES), np.float32)
    last[0, count - 1] = 1
    fast = {"candidates": full, "last": last}
    plain = dict(fast)
    every = []
    pairs = sequences(model, 6, times)
    for kind, name, limit, attention, rows in (
        ("ie", "exposure", EXPOSURES, crban.attentions[EXPOSURE], crban.head.context_rows(0)),
        ("ipv", "page_view", PAGE_VIEWS, crban.attentions[PAGE_VIEW], crban.head.context_rows(1)),
    ):
        enc = encode(model, kind, pairs[kind])
        every.append(enc)
        form, time = attention.form(), len(enc.p)
        key = enc.p @ form.key_kernel
        keys = np.full((limit, form.key_width), 7.0 if garbage else 1.0, np.float32)
        keys[:time] = np.exp(key) if form.product else key
        raw = np.full((limit, attention.scale.shape[0]), 7.0 if garbage else 0.0, np.float32)
        raw[:time] = enc.p @ attention.key_kernel
        values, fused = np.zeros((limit, rows.shape[1]), np.float32), np.zeros((limit, rows.shape[0]), np.float32)
        values[:time], fused[:time] = enc.b @ rows, enc.b
        mask = (np.arange(limit) < time).astype(np.float32)[:, None]
        fast |= {f"{name}_keys": keys, f"{name}_values": values, f"{name}_mask": mask}
        plain |= {f"{name}_keys": raw, f"{name}_fused": fused, f"{name}_mask": mask}
    return fast, plain, oracle.score(crban, candidates.astype(np.float64), *every)


@pytest.mark.parametrize("garbage", [False, True])
@pytest.mark.parametrize("times", [(0, 0), (1, 0), (0, 2), (5, 3), (EXPOSURES, PAGE_VIEWS)])
@pytest.mark.parametrize("count", [1, 2, 11, CANDIDATES])
def test_ranking_graphs_equal_the_equations(count: int, times: tuple[int, int], garbage: bool) -> None:
    model = oracle.random_model(4)
    fast, plain, want = crban_inputs(model, count, times, garbage=garbage)
    ours = run(model.crban.build(LENGTHS), **fast)["logits"][:count, 0]
    np.testing.assert_allclose(ours, want, atol=2e-5)
    if times != (0, 0) or not garbage:
        book = run(build_reference_crban(model.crban, model.crban.attentions, LENGTHS), **plain)["logits"][:count, 0]
        np.testing.assert_allclose(book, want, atol=2e-5)


def test_ranking_graphs_with_large_attention_weights_equal_the_equations() -> None:
    model = oracle.random_model(4)
    big = np.float32(30)
    attention = dataclasses.replace(
        model.crban.attentions[EXPOSURE],
        query_kernel=model.crban.attentions[EXPOSURE].query_kernel * big,
        key_kernel=model.crban.attentions[EXPOSURE].key_kernel * big,
        scale=model.crban.attentions[EXPOSURE].scale * big,
    )
    model = dataclasses.replace(model, crban=oracle.with_attention(model.crban, EXPOSURE, attention))
    assert form_of(attention) == "tanh"
    for times in ((0, 0), (5, 3), (EXPOSURES, PAGE_VIEWS)):
        fast, _, want = crban_inputs(model, 11, times, garbage=False)
        ours = run(model.crban.build(LENGTHS), **fast)["logits"][:11, 0]
        # Attention scores reach several hundred, where float32 has a rounding error of about 3e-5.
        np.testing.assert_allclose(ours, want, atol=2e-3)


@pytest.mark.parametrize(("form", "query"), [("direct", 1.0), ("divided", 1000.0)])
def test_the_largest_weights_of_the_product_form_give_finite_and_correct_logits(form: str, query: float) -> None:
    weights = oracle.random_attention(np.random.default_rng(0))
    weights = dataclasses.replace(weights, query_kernel=weights.query_kernel * np.float32(query))
    factor = 1.0
    while form_of(scaled := dataclasses.replace(weights, key_kernel=weights.key_kernel * np.float32(factor))) == form:
        edge, factor = scaled, factor * 1.05
    model = oracle.random_model(4)
    model = dataclasses.replace(model, crban=oracle.with_attention(model.crban, EXPOSURE, edge))
    fast, _, want = crban_inputs(model, 11, (EXPOSURES, 3), garbage=False)
    ours = run(model.crban.build(LENGTHS), **fast)["logits"][:11, 0]
    np.testing.assert_allclose(ours, want, atol=5e-5)


def test_the_device_graph_of_the_ranker_computes_no_tanh() -> None:
    model = oracle.random_model(4)
    kinds = Counter(node.op_type for node in model.crban.build(LENGTHS).graph.node)
    assert kinds["GRU"] == 3
    assert "Tanh" not in kinds
    assert "Softmax" not in kinds


def test_the_same_weights_give_the_same_bytes() -> None:
    first, second = (graphs(oracle.random_model(4)) for _ in range(2))
    assert {name: graph.SerializeToString() for name, graph in first.items()} == {
        name: graph.SerializeToString() for name, graph in second.items()
    }


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: GruWeights(zeros(4, 9), zeros(3, 8), zeros(2, 9)), "recurrent_kernel"),
        (lambda: GruWeights(zeros(4, 8), zeros(3, 9), zeros(2, 9)), "GruWeights.kernel"),
        (lambda: GruWeights(zeros(4, 9), zeros(3, 9), zeros(9)), "bias"),
        (lambda: GruWeights(zeros(4, 9).astype(np.float64), zeros(3, 9), zeros(2, 9)), "float32"),
        (lambda: GruWeights(zeros(4, 9) + np.float32(np.nan), zeros(3, 9), zeros(2, 9)), "finite"),
        (lambda: GruWeights([[1.0]], zeros(3, 9), zeros(2, 9)), "list"),
        (lambda: AttentionWeights(zeros(3, 3), zeros(3), zeros(3, 4), zeros(3)), "key_kernel"),
        (lambda: AttentionWeights(zeros(3, 3), zeros(4), zeros(3, 3), zeros(3)), "query_bias"),
        (lambda: HeadWeights(zeros(13, 4), zeros(4), zeros(4, 1), zeros(1)), "multiple of 6"),
        (lambda: HeadWeights(zeros(12, 4), zeros(4), zeros(4, 2), zeros(1)), "output_kernel"),
        (lambda: HubsmWeights((), oracle.random_stack(np.random.default_rng(0), 3)), "at least one"),
        (
            lambda: HubsmWeights(
                oracle.random_stack(np.random.default_rng(0), 3, depth=2),
                oracle.random_stack(np.random.default_rng(0), 3, depth=3),
            ),
            "same depth",
        ),
        (
            lambda: HubsmWeights(
                oracle.random_stack(np.random.default_rng(0), 3, depth=1)
                + oracle.random_stack(np.random.default_rng(0), 5, depth=1),
                oracle.random_stack(np.random.default_rng(0), 3, depth=2),
            ),
            "same width",
        ),
        (
            lambda: dataclasses.replace(oracle.random_model(0).crban, head=oracle.random_model(0, units=8).crban.head),
            "head",
        ),
        (
            lambda: oracle.with_attention(
                oracle.random_model(0).crban, PAGE_VIEW, oracle.random_attention(np.random.default_rng(0), units=8)
            ),
            "attentions` should read .* page_views",
        ),
        (
            lambda: oracle.random_model(0).ie.step(
                Reading(oracle.random_attention(np.random.default_rng(0), units=8).form(), zeros(64, 32))
            ),
            "`key` should read",
        ),
        (
            lambda: oracle.random_model(0).ie.step(
                Reading(oracle.random_model(0).crban.attentions[EXPOSURE].form(), zeros(32, 32))
            ),
            "value_kernel",
        ),
    ],
)
def test_weights_whose_shapes_do_not_fit_are_an_error(make: object, named: str) -> None:
    with pytest.raises(ShapeError, match=named):
        make()  # type: ignore[operator]
