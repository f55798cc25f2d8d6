"""Additive attention without a tanh for every pair of candidate and behaviour.

A score of eq. 10 is `sum_u v_u tanh(x_u)` with `x_u = q_u + k_u`, `q` from the candidate and `k` from the behaviour.
Over a group of four units that is one fraction,

    sum_u v_u tanh(x_u) = sum_s (sum_u s_u v_u) e^(s.x) / sum_s e^(s.x),   s over all 16 sign vectors (+-1)^4,

because the denominator is `prod_u 2 cosh(x_u)` and the numerator its derivative along `v`. Since
`e^(s.x) = e^(s.q) e^(s.k)`, both are inner products of 16 numbers that depend only on the candidate with 16 numbers
that depend only on the behaviour. So for every four units, the pairs cost two matrix products and one division instead
of four tanh. The numbers that depend only on the behaviour are computed once, in the step graph. The fraction is exact:
every denominator is at least 16, and rounding errors are as large as those of the direct sum, a few units in the
last place of `sum_u |v_u|`.

The exponentials must not overflow float32. GRU outputs are within (-1, 1), so the weights alone give an upper bound of
every exponent. `AttentionWeights.form` checks that bound.

Queries can exceed the bound, or have no bound: the candidates' encodings of CRBAN+ are not the outputs of a GRU. Then
both sums are divided by `e^(|q_1| + ... + |q_4|)`, which does not change the fraction except for rounding:

    s.q - sum_u |q_u| = -2 sum_u relu(-s_u q_u),

This exponent is at most 0, and it is 0 if `s` has the signs of `q`. So no query can overflow. One term of each
denominator is `e^(s.k)` times 1, so each denominator is at least e^-35 (`LARGEST_KEY_EXPONENT`), and a term that
underflows is too small to change the sum. The constant matrix of the sum (`fold`) contains only -2 and 0, which
rounded weights represent exactly. This form needs one more Relu and one more product, but a bound only for the keys.

If keys exceed that bound, or if a softmax of the scores needs the subtraction of the largest score, the graph computes
the equation directly (`product` is false). This is always correct, but slower.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgerec.features.behaviours import BehaviourKind
from edgerec.graphs.builder import GraphBuilder
from edgerec.graphs.ranking import KeysInput
from edgerec.graphs.weights import Array, check_array

GROUP = 4
SIGNS = 1 << GROUP
# exp(80) = 5.5e34 leaves three powers of ten below the largest float32, for the sum over signs and for |v|.
LARGEST_EXPONENT = 80.0
# The denominator is at least exp(-35) = 6e-16. A weight that underflows is below the smallest normal float32, 1.2e-38.
# Even multiplied by the largest key, exp(35) = 1.6e15, it is below exp(-17) times the denominator.
LARGEST_KEY_EXPONENT = 35.0
# If no score is above 60, a softmax needs no subtraction of the largest score: a sum of exp(60) does not overflow, and
# the smallest term is about 1e-26.
LARGEST_SCORE = 60.0
# Lower bound of the sum of weights. The weight of one behaviour is already larger, so this bound has an effect only if
# there is no behaviour.
SMALLEST_SUM = 1e-30
# Subtracted from the scores of padding before the largest score is computed.
FAR_BELOW = 1e9


@dataclass(frozen=True)
class AttentionWeights:
    """Additive attention of candidates over behaviours, `scale . tanh(c Wq + bq + p Wk)` (eq. 10).

    Attributes:
        query_kernel: `(units, units)`, on a candidate's encoding.
        query_bias: `(units,)`.
        key_kernel: `(units, units)`, on a behaviour's item encoding.
        scale: `(units,)`.

    Raises:
        ShapeError: the shapes do not fit each other, or a value is not finite float32.
    """

    query_kernel: Array
    query_bias: Array
    key_kernel: Array
    scale: Array

    def __post_init__(self) -> None:
        check_array(self, "scale", (None,))
        width = self.scale.shape[0]
        for name in ("query_kernel", "key_kernel"):
            check_array(self, name, (None, width))
        check_array(self, "query_bias", (width,))

    def form(self, *, bounded: bool = True, bias: float = 0.0) -> AttentionForm:
        """Choose the form for these weights. The step graph and the ranker must use the same form.

        Args:
            bounded: whether the candidates' encodings are within (-1, 1), as the outputs of a GRU are.
            bias: upper bound of the absolute value of the bias that is added to the scores.
        """
        signs = sign_matrix(self.scale.shape[0])
        key_exponents = np.abs(self.key_kernel @ signs.astype(np.float64)).sum(axis=0)
        query_exponents = np.abs(self.query_kernel @ signs.astype(np.float64)).sum(axis=0)
        query_exponents += np.abs(self.query_bias @ signs.astype(np.float64))
        query_kernel, query_bias, fold = self.query_kernel @ signs, self.query_bias @ signs, None
        if not bounded or float((query_exponents + key_exponents).max()) > LARGEST_EXPONENT:
            query_kernel = np.concatenate([self.query_kernel, -self.query_kernel], axis=1)
            query_bias = np.concatenate([self.query_bias, -self.query_bias])
            fold = np.concatenate([signs - np.abs(signs), -signs - np.abs(signs)])
        if _largest_score(self) + bias > LARGEST_SCORE or (
            fold is not None and float(key_exponents.max()) > LARGEST_KEY_EXPONENT
        ):
            return AttentionForm(False, self.query_kernel, self.key_kernel, self.query_bias, self.scale)
        return AttentionForm(True, query_kernel, self.key_kernel @ signs, query_bias, self.scale @ signs, fold)


@dataclass(frozen=True)
class AttentionForm:
    """How one attention is computed: the key that the step graph stores, and the weights that the ranker uses.

    Attributes:
        product: true for the fraction of this module's docstring, false for the tanh of eq. 10.
        query_kernel: on a candidate's encoding, `(units, key_width)`; `(units, 2 * units)` if there is a `fold`.
        key_kernel: `(units, key_width)`, on a behaviour's item encoding.
        query_bias: as wide as `query_kernel`. It costs no time, because MNN fuses it with the query's product.
        numerator: `(key_width,)`: `s.v` of each sign vector for the fraction, `v` for the tanh.
        fold: `(2 * units, key_width)` if queries have no bound, else None. `relu([q, -q])` times `fold` is
            `s.q - sum_u |q_u|`.
    """

    product: bool
    query_kernel: Array
    key_kernel: Array
    query_bias: Array
    numerator: Array
    fold: Array | None = None

    @property
    def units(self) -> int:
        return int(self.key_kernel.shape[0])

    @property
    def key_width(self) -> int:
        return int(self.numerator.shape[0])

    @property
    def keys_input(self) -> KeysInput:
        """The name of the input for a ranker whose values are not as wide as those of CRBAN or CRBAN+."""
        return "positive_keys" if self.product else "signed_keys"

    @property
    def groups(self) -> int:
        return self.key_width // SIGNS

    def add_key(self, graph: GraphBuilder, item: str, units: int) -> None:
        """Add the output `key` of one behaviour to a step graph. Its shape is `(key_width, 1)`.

        Args:
            graph: the graph to add to.
            item: name of the behaviour's item encoding, `(1, 1, units)`.
            units: width of the item encoding.
        """
        encoding = graph.reshape(item, (units, 1))
        kernel = graph.constant(self.key_kernel.T)
        if self.product:
            graph.node("Exp", graph.node("MatMul", kernel, encoding), out="key")
        else:
            graph.node("MatMul", kernel, encoding, out="key")

    def add_context(
        self,
        graph: GraphBuilder,
        encodings: str,
        kind: BehaviourKind,
        *,
        candidates: int,
        length: int,
        keys: KeysInput = "keys",
        bias: str | None = None,
    ) -> str:
        """Add attention over one kind of behaviour (eq. 10).

        Args:
            graph: the graph to add to.
            encodings: name of the candidates' encodings, `(k, units)`.
            kind: the kind of behaviour. The inputs are `{name}_{keys}`, `{name}_values` and `{name}_mask`.
            candidates: k.
            length: number of behaviours, padding included.
            keys: name of the input with the keys, without the kind's name: `keys` in CRBAN and CRBAN+, else
                `keys_input`.
            bias: name of a bias that is added to the scores, `(k, length)`.

        Returns:
            Name of the contexts, multiplied with the rows of the ranker's hidden layer that read them, `(k, h)`.
        """
        inputs = f"{kind.name}_{keys}", f"{kind.name}_mask"
        weighted = _exponentials(graph, self, encodings, inputs, candidates, length, bias)
        total = graph.node("MatMul", weighted, f"{kind.name}_mask")
        # `Clip` and not `Max`: half precision rounds the constant of `Max` to zero, but not the bounds of `Clip`.
        total = graph.node("Clip", total, graph.constant(np.float32(SMALLEST_SUM)))
        return graph.node("Div", graph.node("MatMul", weighted, f"{kind.name}_values"), total)


def sign_matrix(units: int) -> Array:
    """Return the matrix `(units, groups * 16)` whose product with `x` is `s.x` for every group and sign vector.

    The last group is padded with units that are always zero: their `cosh` is 1 and their `v` counts as 0.
    """
    signs = 1 - 2 * ((np.arange(SIGNS)[np.newaxis] >> np.arange(GROUP)[:, np.newaxis]) & 1)
    groups = -(-units // GROUP)
    return np.kron(np.eye(groups), signs)[:units].astype(np.float32)


def _largest_score(weights: AttentionWeights) -> float:
    return float(np.abs(weights.scale.astype(np.float64)).sum())


def _exponentials(
    graph: GraphBuilder,
    form: AttentionForm,
    encodings: str,
    inputs: tuple[str, str],
    candidates: int,
    length: int,
    bias: str | None,
) -> str:
    """Add `exp(score)`, the numerators of a softmax. Shape `(k, length)`. `inputs` names the keys and the mask.

    All numbers of a row may have the same factor, because the division of the softmax removes it.
    """
    query = graph.dense(encodings, form.query_kernel, form.query_bias)
    if not form.product:
        return _exponentials_by_tanh(graph, form, query, inputs, candidates, length, bias)
    if form.fold is not None:
        query = graph.node("MatMul", graph.node("Relu", query), graph.constant(form.fold))
    # The Exp comes after the Transpose, so that MNN moves the data only once, and not once for each product.
    query = graph.node("Transpose", graph.reshape(query, (candidates, form.groups, SIGNS)), perm=[1, 0, 2])
    query = graph.node("Exp", query)
    keys, _ = inputs
    scaled = graph.node("Mul", keys, graph.constant(form.numerator[np.newaxis]))
    fraction = []
    for part in (scaled, keys):
        columns = graph.node("Transpose", part, perm=[1, 0])
        fraction.append(graph.node("MatMul", query, graph.reshape(columns, (form.groups, SIGNS, length))))
    quotient = graph.node("Div", *fraction)
    axis = graph.constant(np.array([0]))
    scores = graph.node("ReduceSum", quotient, axis, keepdims=0)
    return graph.node("Exp", graph.node("Add", scores, bias) if bias else scores)


def _exponentials_by_tanh(
    graph: GraphBuilder,
    form: AttentionForm,
    query: str,
    inputs: tuple[str, str],
    candidates: int,
    length: int,
    bias: str | None,
) -> str:
    """Add `exp(score)` by eq. 10 directly, for weights that exceed the bounds of the fraction."""
    keys, mask = inputs
    query = graph.reshape(query, (candidates, 1, form.key_width))
    tanh = graph.node("Tanh", graph.node("Add", query, keys))
    scores = graph.node("MatMul", tanh, graph.constant(form.numerator[:, np.newaxis]))
    scores = graph.reshape(scores, (candidates, length))
    if bias:
        scores = graph.node("Add", scores, bias)
    mask = graph.reshape(mask, (1, length))
    padding = graph.node("Mul", graph.node("Sub", mask, graph.constant(1.0)), graph.constant(FAR_BELOW))
    scores = graph.node("Add", scores, padding)
    return graph.node("Exp", graph.node("Sub", scores, graph.node("ReduceMax", scores, axes=[1], keepdims=1)))
