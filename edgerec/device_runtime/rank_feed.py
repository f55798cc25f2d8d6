"""The input arrays of a ranking graph, and the code that writes a request into them.

Every engine that runs a ranking graph gets its inputs from this module: MNN on the device, ONNX Runtime in the parity
check, and the peers in benchmarks.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from edgerec.core.errors import SessionError
from edgerec.device_runtime.arguments import check_vectors
from edgerec.device_runtime.encodings import Encodings
from edgerec.device_runtime.finite import check_finite
from edgerec.device_runtime.matches import Ids, check_seen, matches
from edgerec.features.behaviours import BEHAVIOUR_KINDS, BehaviourKind

Array = npt.NDArray[np.float32]

# The product form of attention (graphs/attention.py) takes units in groups of 4. A key has 16 numbers for each group.
_GROUP, _SIGNS = 4, 16


class KindFeed:
    """The input arrays of one kind of behaviour.

    The name of the input with the keys shows whether all numbers of a key must be positive: `positive_keys`,
    `signed_keys`, or `keys` in CRBAN and CRBAN+, where the widths show it.

    Args:
        arrays: all input arrays of the ranking graph, by name.
        kind: the kind of behaviour.
        values: name of the input with the stored values, without the kind's name at its start. It is `fused` in
            reference graphs.

    Raises:
        SessionError: an array is missing, or the arrays have different numbers of behaviours.
    """

    def __init__(self, arrays: Mapping[str, Array], kind: BehaviourKind, *, values: str = "values") -> None:
        name = kind.name
        self.kind, self.keys_name, self.values_name = kind, f"{kind.plural}.keys", f"{kind.plural}.values"
        keys = next((keys for keys in ("positive_keys", "signed_keys") if f"{name}_{keys}" in arrays), "keys")
        self.keys, self.values, self.mask = (_array(arrays, f"{name}_{part}", 2) for part in (keys, values, "mask"))
        self.limit, self.key_width = self.keys.shape
        self.hidden = self.values.shape[1]
        self.match = arrays.get(f"{name}_match")
        self.age = None if self.match is None else _array(arrays, f"{name}_age", 2).reshape(-1)
        # In CRBAN and CRBAN+, the input is named `keys`, and the width of the keys shows the form of the attention
        # (graphs/attention.py). The attention has as many units as the hidden layer, but half as many in CRBAN+, which
        # reads matches. In the form with tanh, a key has one number for each unit. In the product form, it has 16
        # numbers for every four units.
        units = self.hidden // 2 if self.match is not None else self.hidden
        product = keys == "keys" and self.key_width == _SIGNS * -(-units // _GROUP)
        self.positive = product or keys == "positive_keys"
        if self.values.shape[0] != self.limit or self.mask.shape != (self.limit, 1):
            raise SessionError(
                f"a ranking model with {self.limit} rows of `{name}_{keys}` should have as many rows of "
                f"`{name}_values` and `{name}_mask`. Received: {self.values.shape} and {self.mask.shape}"
            )
        if self.match is not None and self.age is not None:
            shapes = (self.match.ndim, self.match.shape[-1], self.age.shape)
            if shapes != (3, self.limit, (self.limit,)):
                raise SessionError(
                    f"a ranking model should have `{name}_match` and `{name}_age` of {self.limit} behaviours. "
                    f"Received: {self.match.shape} and {self.age.shape}"
                )

    @property
    def identities(self) -> int:
        """Return the number of IDs that a candidate and a behaviour can share, or 0 if the model reads no matches."""
        return 0 if self.match is None else int(self.match.shape[0])

    @property
    def inputs(self) -> int:
        """Return the number of the graph's inputs that belong to this kind."""
        return 5 if self.identities else 3

    def check(self, encodings: Encodings) -> int:
        """Check `encodings`, and return the number of behaviours in it.

        Raises:
            SessionError: the ranking graph cannot read `encodings`.
        """
        plural = self.kind.plural
        if not isinstance(encodings, Encodings):
            raise SessionError(
                f"`{plural}` should be Encodings; if the user has no {plural}, pass "
                f"`Encodings.empty({self.key_width}, {self.hidden})`. Received: {type(encodings).__name__}"
            )
        keys, values = encodings.keys, encodings.values
        check_vectors(self.keys_name, keys, self.key_width)
        check_vectors(self.values_name, values, self.hidden)
        count = int(keys.shape[0])
        if values.shape[0] != count:
            raise SessionError(
                f"`{plural}` should have as many values as keys. Received: {values.shape[0]} and {count}"
            )
        if count > self.limit:
            raise SessionError(
                f"`{plural}` should have at most {self.limit} behaviours, the latest ones. Received: {count}"
            )
        check_finite(self.keys_name, keys)
        check_finite(self.values_name, values)
        # Denominators are sums of keys times exponentials. If a key is not positive, a denominator can be 0 or
        # negative, and the logits are meaningless. `argmin` takes half the time of `min`.
        if self.positive and count and keys.item(keys.argmin()) <= 0:
            raise SessionError(
                f"all numbers of `{self.keys_name}` should be positive, because `step` returns positive keys. "
                f"Received: {int((keys <= 0).sum())} numbers that are 0 or negative"
            )
        if self.identities:
            check_seen(f"{plural}.seen", encodings.seen, count, self.identities)
        return count

    def write(self, encodings: Encodings, ids: Ids | None) -> None:
        """Write the behaviours and then padding into the arrays. `ids` are the IDs of the candidates."""
        count = len(encodings.keys)
        self.keys[:count] = encodings.keys
        self.keys[count:] = 1.0  # The product form needs positive keys.
        self.values[:count] = encodings.values
        self.values[count:] = 0.0
        self.mask[:count] = 1.0
        self.mask[count:] = 0.0
        if self.match is not None and self.age is not None:
            self.match[...] = 0.0
            self.age[...] = 0.0
            if ids is not None and encodings.seen is not None and count:
                self.match[:, : len(ids), :count] = matches(ids, encodings.seen.ids)
                self.age[:count] = encodings.seen.age


class RankFeed:
    """All input arrays of one ranking graph.

    Args:
        arrays: the input arrays by name, in the shapes of the graph. `write` fills them in place.
        values: name of the inputs with the stored values; see `KindFeed`.

    Attributes:
        limit: k, the maximal number of candidates.
        candidate_width: d_c, the width of a candidate vector.
        kinds: the arrays of each kind of behaviour that the graph reads.

    Raises:
        SessionError: the arrays are not those of a ranking graph.
    """

    def __init__(self, arrays: Mapping[str, Array], *, values: str = "values") -> None:
        candidates = _array(arrays, "candidates", 3)
        self.limit, self.candidate_width = candidates.shape[0], candidates.shape[-1]
        self._candidates = candidates.reshape(self.limit, self.candidate_width)
        self._last, self._valid = arrays.get("last"), arrays.get("valid")
        self.kinds = {
            kind: KindFeed(arrays, kind, values=values) for kind in BEHAVIOUR_KINDS if f"{kind.name}_mask" in arrays
        }
        known = 1 + (self._last is not None) + (self._valid is not None) + sum(k.inputs for k in self.kinds.values())
        wanted = {
            "candidates": (self.limit, 1, self.candidate_width),
            "last": (1, self.limit),
            "valid": (self.limit, 1),
        }
        fits = all(arrays[name].shape == shape for name, shape in wanted.items() if name in arrays)
        if not fits or len(arrays) != known:
            raise SessionError(
                f"a ranking model should have `candidates` of shape {wanted['candidates']}, perhaps `last` or `valid`, "
                f"and the inputs of behaviours. Received: { {name: array.shape for name, array in arrays.items()} }"
            )

    def write(self, candidates: Array, encodings: Mapping[BehaviourKind, Encodings], ids: Ids | None) -> None:
        """Write one request into the arrays, and fill the rest of the arrays with padding.

        Every call writes all inputs, because a run of MNN overwrites its inputs.

        Args:
            candidates: `(c, d_c)` float32.
            encodings: the encodings of each kind in `kinds`.
            ids: `(c, identities)` int64, the IDs of the candidates, for a graph that reads matches.
        """
        count = len(candidates)
        self._candidates[:count] = candidates
        self._candidates[count:] = 0.0
        if self._last is not None:
            self._last[...] = 0.0
            self._last[0, count - 1] = 1.0
        if self._valid is not None:
            self._valid[:count] = 1.0
            self._valid[count:] = 0.0
        for kind, feed in self.kinds.items():
            feed.write(encodings[kind], ids)


def _array(arrays: Mapping[str, Array], name: str, axes: int) -> Array:
    if name not in arrays or arrays[name].ndim != axes:
        received = {known: array.shape for known, array in arrays.items()}
        raise SessionError(f"a ranking model should have an input `{name}` with {axes} axes. Received: {received}")
    return arrays[name]
