"""The head of ESAN on the device: click logits of cards from their vectors and their surroundings (docs/mixing.md).

The ranking model computes three vectors of each card, which do not depend on the order of the list. The head adds what
the surroundings change:

    hidden_i = own_i + before_(card before) + after_(card after) + previous[own kind, kind before]
             + following[own kind, kind after] + distance[own kind, distance] + count[own kind, count]
    logit_i = output . relu(hidden_i) + bias + place[place]

Row 0 of each table means unknown, and all its numbers are zero. So ``output . relu(own_i) + bias`` is the relevance of
a card, without surroundings and place. It is the logit that the ranking model returns.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from edgerec.core.arrays import parse_members
from edgerec.core.errors import FormatError
from edgerec.mixing.surroundings import PLACES, UNKNOWN, Surroundings, rows_of

Array = NDArray[np.float32]

MAX_BYTES = 1 << 24
MAX_KINDS, MAX_KIND_LENGTH = 254, 255
_ADVICE = "export the bundle again"


@dataclass(frozen=True)
class CardVectors:
    """What the ranking model computes of each card besides its logit. All arrays are (n, hidden) float32.

    Attributes:
        own: the hidden layer of the card before its activation, without surroundings.
        before: what the card adds to the hidden layer of the card after it.
        after: what the card adds to the hidden layer of the card before it.
    """

    own: Array
    before: Array
    after: Array

    def __len__(self) -> int:
        return len(self.own)


@dataclass(frozen=True, eq=False)
class SurroundingsHead:
    """The trained tables of ESAN. Row 0 of each table means unknown; its numbers are zero.

    Attributes:
        kinds: the kinds of cards. The code of a kind is its index plus 1; code 0 is a kind that is not listed.
        previous: (codes, codes + 2, hidden), by own kind, and kind of the card before.
        following: (codes, codes + 1, hidden), by own kind, and kind of the card after.
        distance: (codes, SPAN + 2, hidden), by own kind, and distance to the last card of this kind.
        count: (codes, SPAN + 2, hidden), by own kind, and number of cards of this kind among the last SPAN cards.
        place: (PLACES + 1,), by place in the list.
        output: (hidden,), the kernel of the output layer.
        bias: (1,), its bias.

    Raises:
        FormatError: an array has another shape or type, is not finite, or its row 0 is not zero.
    """

    kinds: tuple[str, ...]
    previous: Array
    following: Array
    distance: Array
    count: Array
    place: Array
    output: Array
    bias: Array

    def __post_init__(self) -> None:
        unique = len(set(self.kinds)) == len(self.kinds)
        if not unique or not 1 <= len(self.kinds) <= MAX_KINDS or max(map(len, self.kinds)) > MAX_KIND_LENGTH:
            raise FormatError(f"surroundings: the kinds should be 1 to {MAX_KINDS} different names: {_ADVICE}")
        codes, hidden = len(self.kinds) + 1, len(np.atleast_1d(self.output))
        shapes: dict[str, tuple[int, ...]] = {name: (codes, rows, hidden) for name, rows in rows_of(codes).items()}
        shapes |= {"place": (PLACES + 1,), "output": (hidden,), "bias": (1,)}
        for name, shape in shapes.items():
            array = getattr(self, name)
            if array.dtype != np.float32 or array.shape != shape:
                raise FormatError(
                    f"surroundings: {name} should be float32 of shape {shape}; received {array.dtype} of shape "
                    f"{array.shape}: {_ADVICE}"
                )
            if not np.isfinite(array).all():
                raise FormatError(f"surroundings: {name} should be finite; received NaN or infinity: {_ADVICE}")
        unknown = [getattr(self, name)[:, UNKNOWN] for name in rows_of(codes)]
        if any(rows.any() for rows in (*unknown, self.place[UNKNOWN])):
            raise FormatError(f"surroundings: row {UNKNOWN} of each table should be zero: {_ADVICE}")

    @property
    def hidden(self) -> int:
        """Width of the hidden layer."""
        return len(self.output)

    def code(self, kind: str) -> int:
        """Return the code of a kind; 0 if the model does not know it."""
        return self.kinds.index(kind) + 1 if kind in self.kinds else 0

    def logits(self, vectors: CardVectors, around: Surroundings) -> Array:
        """Return the logits (n,) of cards.

        Args:
            vectors: the cards' `own`; `before` of the card before each one and `after` of the card after each one, zero
                if that card is unknown (`neighbour_vectors` for a list in the order shown).
            around: their surroundings.
        """
        own = around.own
        hidden = vectors.own + vectors.before + vectors.after + self.previous[own, around.previous]
        hidden += self.following[own, around.following] + self.distance[own, around.distance]
        hidden += self.count[own, around.count]
        logits: Array = np.maximum(hidden, 0) @ self.output + self.bias + self.place[around.place]
        return logits

    def relevance(self, vectors: CardVectors) -> Array:
        """Return the logits (n,) of cards without surroundings and place."""
        logits: Array = np.maximum(vectors.own, 0) @ self.output + self.bias
        return logits

    def to_bytes(self) -> bytes:
        """Return the content of the file `surroundings.npz`. The same head gives the same bytes."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        content = io.BytesIO()
        np.savez(content, **{**arrays, "kinds": np.array(self.kinds)})
        return content.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> SurroundingsHead:
        """Parse the content of the file `surroundings.npz`.

        Raises:
            FormatError: the content is damaged or too large, or see the class.
        """
        if len(content) > MAX_BYTES:
            raise FormatError(
                f"surroundings: the file should have at most {MAX_BYTES} bytes; received {len(content)}: {_ADVICE}"
            )
        names = [field.name for field in fields(cls)]
        arrays = parse_members(content, names, what="surroundings: the file", advice=_ADVICE)
        kinds = arrays.pop("kinds")
        if kinds.dtype.kind != "U" or kinds.ndim != 1:
            raise FormatError(f"surroundings: kinds should be texts (n,); received {kinds.dtype}: {_ADVICE}")
        return cls(kinds=tuple(kinds.tolist()), **arrays)


def neighbour_vectors(vectors: CardVectors) -> CardVectors:
    """Return the vectors that `SurroundingsHead.logits` needs of a list in the order shown.

    The vectors of the card before the first one and of the card after the last one are unknown.
    """
    none = np.zeros((1, vectors.own.shape[1]), np.float32)
    return CardVectors(
        vectors.own, np.concatenate([none, vectors.before[:-1]]), np.concatenate([vectors.after[1:], none])
    )
