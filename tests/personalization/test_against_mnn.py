"""The gradient of a patch against the one that MNN computes on a device."""

from __future__ import annotations

import numpy as np
import pytest

from edgerec.personalization.gradient import PatchLoss
from tests.personalization.heads import a_head, some_events

MNN = pytest.importorskip("MNN")


def test_the_gradient_is_that_of_mnn() -> None:
    import _mnncengine._expr as raw
    import MNN.expr
    import MNN.nn
    import MNN.optim

    MNN.expr.lazy_eval(True)
    head = a_head(6)
    loss = PatchLoss.of(head, some_events(head, 50))

    def constant(array: np.ndarray) -> object:
        return MNN.expr.const(np.ascontiguousarray(array, np.float32), list(array.shape), MNN.expr.NCHW)

    class Head(MNN.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.theta = constant(np.zeros((7, 1)))
            self.theta.fix_as_trainable()

        def forward(self, inputs: object) -> object:
            # The functions of `MNN.expr` cast their arguments, and a cast has no gradient: use the raw operations.
            return raw.add(raw.matmul(inputs, self.theta, False, False), constant(loss.logits[:, None]))

    model = Head()
    signs = constant((1 - 2 * loss.labels)[:, None])
    odds = raw.exp(raw.multiply(signs, model.forward(constant(loss.inputs))))
    value = raw.reduce_mean(raw.log(raw.add(odds, constant(np.ones((1, 1))))), [0, 1], False)
    MNN.optim.SGD(model, 1.0, 0.0).step(value)
    # A step at rate 1 from zero is the gradient. There is no pull in it.
    gradient = -np.array(model.parameters[0].read()).ravel()
    pull = loss.pull * -loss.start / len(loss.labels)
    assert gradient.all()
    np.testing.assert_allclose(gradient, loss.gradient(np.zeros(7)) - pull, atol=1e-6)
