from __future__ import annotations

import dataclasses
import threading

import numpy as np
import pytest

from edgerec.core.errors import SessionError
from edgerec.device_runtime.hubsm import HubsmStepper
from edgerec.features.behaviours import EXPOSURE, PAGE_VIEW
from tests import oracle
from tests.mnn_models import built, graphs, to_mnn

# Two implementations compute 90 recurrent steps in float32. Their rounding errors differ, and each step passes them on.
TOLERANCE = 1e-5


def behaviours(stack: oracle.HubsmWeights, time: int, *, seed: int = 0, scale: float = 1.0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [
        rng.normal(scale=scale, size=(time, side[0].input_width)).astype(np.float32)
        for side in (stack.action, stack.item)
    ]


def run(stepper: HubsmStepper, actions: np.ndarray, items: np.ndarray) -> list[np.ndarray]:
    state = stepper.initial_state()
    keys, values = [], []
    for action, item in zip(actions, items, strict=True):
        key, value, state = stepper.step(action, item, state)
        keys.append(key)
        values.append(value)
    return [np.array(keys), np.array(values), state]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("scale", [1.0, 2.0])
@pytest.mark.parametrize("kind", ["ie", "ipv"])
def test_single_steps_equal_the_equations_of_the_whole_sequence(kind: str, scale: float, seed: int) -> None:
    made = built(seed, scale)
    stack = getattr(made.model, kind)
    crban = made.model.crban
    attention = crban.attentions[EXPOSURE] if kind == "ie" else crban.attentions[PAGE_VIEW]
    rows = crban.head.context_rows(0) if kind == "ie" else crban.head.context_rows(1)
    actions, items = behaviours(stack, 90)
    keys, values, _ = run(HubsmStepper(getattr(made, kind)), actions, items)
    want = oracle.encode(stack, actions.astype(np.float64), items.astype(np.float64))
    form = attention.form()
    assert form.product
    # A key is an exponential, so its error is relative to its size. A value is a sum of 64 products with a standard
    # deviation of 0.5.
    np.testing.assert_allclose(np.log(keys), want.p @ form.key_kernel, atol=20 * TOLERANCE)
    np.testing.assert_allclose(values, want.b @ rows, atol=5 * TOLERANCE)


def test_the_state_has_the_action_layers_then_the_item_layers() -> None:
    made = built()
    actions, items = behaviours(made.model.ie, 3)
    *_, state = run(HubsmStepper(made.ie), actions, items)
    tops = [
        oracle.gru_stack(side[:depth], xs.astype(np.float64))[-1]
        for side, xs in ((made.model.ie.action, actions), (made.model.ie.item, items))
        for depth in (1, 2, 3)
    ]
    np.testing.assert_allclose(state, tops, atol=TOLERANCE)


def test_extreme_features_saturate_as_in_the_equations() -> None:
    made = built()
    actions, items = behaviours(made.model.ie, 20, scale=1e4)
    _, values, _ = run(HubsmStepper(made.ie), actions, items)
    want = oracle.encode(made.model.ie, actions.astype(np.float64), items.astype(np.float64))
    np.testing.assert_allclose(values, want.b @ made.model.crban.head.context_rows(0), atol=1e-4)


def test_a_weight_that_is_one_percent_off_exceeds_the_tolerance() -> None:
    made = built()
    stack = made.model.ie
    layer = stack.item[1]
    changed = dataclasses.replace(layer, kernel=layer.kernel * np.float32(1.01))
    other = dataclasses.replace(stack, item=(stack.item[0], changed, stack.item[2]))
    model = dataclasses.replace(made.model, ie=other)
    actions, items = behaviours(stack, 30)
    want = oracle.encode(stack, actions.astype(np.float64), items.astype(np.float64))
    _, values, _ = run(HubsmStepper(to_mnn(graphs(model)["ie"])), actions, items)
    worst = np.abs(values - want.b @ made.model.crban.head.context_rows(0)).max()
    assert worst > 20 * TOLERANCE


def test_a_step_depends_only_on_its_arguments() -> None:
    stepper = HubsmStepper(built().ie)
    actions, items = behaviours(built().model.ie, 4)
    state = stepper.initial_state()
    first = stepper.step(actions[0], items[0], state)
    kept = [array.copy() for array in first]
    stepper.step(actions[1], items[1], first.state)
    assert not state.any()
    for again in (first, stepper.step(actions[0], items[0], state)):
        for array, copy in zip(again, kept, strict=True):
            np.testing.assert_array_equal(array, copy)


def test_the_stepper_reads_its_widths_from_the_model() -> None:
    stepper = HubsmStepper(built().ipv)
    assert (stepper.action_width, stepper.item_width, stepper.key_width, stepper.hidden) == (12, 21, 128, 32)
    assert stepper.initial_state().shape == stepper.state_shape == (6, 32)


def test_another_number_of_units_works() -> None:
    made = built(3, 1.0, 10, 6)
    actions, items = behaviours(made.model.ie, 15)
    keys, values, _ = run(HubsmStepper(made.ie), actions, items)
    want = oracle.encode(made.model.ie, actions.astype(np.float64), items.astype(np.float64))
    np.testing.assert_allclose(values, want.b @ made.model.crban.head.context_rows(0), atol=5 * TOLERANCE)
    assert keys.shape == (15, 48)


BAD = {
    "float64": lambda a: a.astype(np.float64),
    "shape": lambda a: a[:-1],
    "list": lambda a: a.tolist(),
    "NoneType": lambda a: None,
    "1 NaN": lambda a: np.where(np.arange(a.size).reshape(a.shape) == 3, np.float32(np.nan), a),
    "finite": lambda a: np.where(np.arange(a.size).reshape(a.shape) == 3, np.float32(-np.inf), a),
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("position", [0, 1, 2])
def test_an_invalid_argument_is_an_error(position: int, bad: str) -> None:
    stepper = HubsmStepper(built().ie)
    actions, items = behaviours(built().model.ie, 1)
    arguments = [actions[0], items[0], stepper.initial_state()]
    arguments[position] = BAD[bad](arguments[position])
    with pytest.raises(SessionError, match=bad):
        stepper.step(*arguments)


def test_a_large_finite_input_is_accepted() -> None:
    stepper = HubsmStepper(built().ie)
    actions, items = behaviours(built().model.ie, 1)
    step = stepper.step(actions[0] * np.float32(1e25), items[0], stepper.initial_state())
    assert np.isfinite(step.value).all()


def test_the_stepper_refuses_a_ranking_model() -> None:
    with pytest.raises(SessionError, match="step model"):
        HubsmStepper(built().crban)


def test_steps_in_several_threads_do_not_mix() -> None:
    made = built()
    stepper = HubsmStepper(made.ie)
    jobs = [behaviours(made.model.ie, 40, seed=seed) for seed in range(4)]
    want = [run(stepper, *job) for job in jobs]
    got: dict[int, list[np.ndarray]] = {}

    def work(index: int) -> None:
        got[index] = run(stepper, *jobs[index])

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, arrays in enumerate(want):
        for array, other in zip(arrays, got[index], strict=True):
            np.testing.assert_array_equal(array, other)
