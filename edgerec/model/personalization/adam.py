"""Adam over a dictionary of NumPy arrays (Kingma and Ba, 2015)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgerec.model.personalization.problem import Floats


class Adam:
    """The state of Adam.

    Args:
        rates: learning rate of each array.
    """

    def __init__(self, rates: Mapping[str, float]) -> None:
        self._rates = dict(rates)
        self._first: dict[str, Floats] = {}
        self._second: dict[str, Floats] = {}
        self._steps = 0

    def step(self, values: Mapping[str, Floats], gradients: Mapping[str, Floats]) -> dict[str, Floats]:
        """Return the arrays after one step. Arrays without a learning rate stay as they are."""
        self._steps += 1
        result = dict(values)
        for name, rate in self._rates.items():
            gradient = gradients[name]
            first = 0.9 * self._first.get(name, np.zeros_like(gradient)) + 0.1 * gradient
            second = 0.999 * self._second.get(name, np.zeros_like(gradient)) + 0.001 * gradient**2
            self._first[name], self._second[name] = first, second
            corrected = first / (1 - 0.9**self._steps)
            size = np.sqrt(second / (1 - 0.999**self._steps)) + 1e-8
            result[name] = values[name] - rate * corrected / size
        return result
