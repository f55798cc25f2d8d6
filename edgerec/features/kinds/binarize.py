"""The feature kind binarize: whether a number is above a threshold."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from edgerec.features.kinds.base import BaseFeature, Layout
from edgerec.features.vocabulary import Vocabulary


class Binarize(BaseFeature):
    """1 if the number is above the threshold, else 0.

    A missing number gives 0: an action that was not logged did not happen.
    """

    layout: ClassVar[Layout] = "number"

    kind: Literal["binarize"]
    threshold: float = 0.0

    @property
    def codes(self) -> int:
        return 2

    @property
    def listed(self) -> tuple[str, ...]:
        return (f"above {self.threshold:g}",)

    @property
    def unlisted(self) -> str:
        return f"at most {self.threshold:g}"

    def encode(self, column: NDArray[Any], vocabulary: Vocabulary | None = None) -> NDArray[np.uint8]:
        return (self._floats(column) > self.threshold).astype(np.uint8)
