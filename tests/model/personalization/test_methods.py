from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgerec.core.errors import InputError
from edgerec.model.personalization.gate_prior import MOST_EVENTS, prior_gain, with_gate
from edgerec.model.personalization.learned import Learned
from edgerec.model.personalization.meta_train import meta_train
from edgerec.model.personalization.methods import Learning, check_methods
from edgerec.model.personalization.newton import newton
from edgerec.model.personalization.prior import Prior, learned_prior, prior_method
from edgerec.model.personalization.problem import Problem, events_of
from edgerec.model.personalization.shrink import with_shrink
from edgerec.model.personalization.simple import gradient_head, shared
from edgerec.model.personalization.table import evaluate_methods
from edgerec.model.personalization.tasks import tasks_of
from edgerec.model.personalization.world import MetaWorld, meta_world
from edgerec.personalization.head import PersonalHead
from tests.model.personalization.world import make_world

METHODS = ("user_bias", "finetune_refit", "paml", "paml_shuffled", "prior", "other_user")


@pytest.fixture(scope="module")
def rows() -> dict[str, dict[str, Any]]:
    """Return the rows of a world in which users have tastes. Eight pages of each user measure."""
    document = evaluate_methods(make_world(pages=20, items=5), METHODS, seeds=1, folds=2)
    return {row["method"]: row for row in document["rows"]}


@pytest.fixture(scope="module")
def world() -> MetaWorld:
    activations = make_world(users=40, pages=8)
    return meta_world(activations, tasks_of(activations), candidate=True, version_id="v", seed=1)


def test_patches_learn_tastes_that_the_shared_model_and_the_refit_cannot_know(rows: dict[str, dict[str, Any]]) -> None:
    for against in ("gauc_vs_shared", "gauc_vs_refit"):
        assert rows["prior"][against]["low"] > 0.05
    assert rows["prior"]["logloss_vs_shared"]["high"] < 0
    assert rows["prior"]["gauc"] > rows["finetune_refit"]["gauc"]


def test_the_patch_of_another_user_gains_nothing(rows: dict[str, dict[str, Any]]) -> None:
    assert rows["other_user"]["gauc_vs_shared"]["mean"] < 0
    assert rows["other_user"]["worse_share"] > rows["other_user"]["better_share"]
    assert rows["other_user"]["gauc_gated_vs_shared"]["mean"] >= rows["other_user"]["gauc_vs_shared"]["mean"]


def test_the_learning_rate_of_another_user_gains_nothing_over_the_own_one(rows: dict[str, dict[str, Any]]) -> None:
    assert rows["paml_shuffled"]["gauc"] <= rows["paml"]["gauc"] + 0.002


def test_nobody_is_worse_or_rejected_with_the_shared_model(rows: dict[str, dict[str, Any]]) -> None:
    assert rows["shared"]["worse_share"] == rows["shared"]["rejected_share"] == rows["shared"]["tail"] == 0
    assert rows["shared"]["gauc_vs_shared"] == {"mean": 0, "low": 0, "high": 0}


def test_a_row_has_the_interval_of_its_gain_and_the_gain_of_each_group(rows: dict[str, dict[str, Any]]) -> None:
    wanted = {"method", "gauc", "gauc_low_activity", "logloss", "worse_share", "ci95", "ms", "bytes"}
    for row in rows.values():
        assert wanted <= set(row)
        assert row["ci95"] == [row["gauc_vs_shared"]["low"], row["gauc_vs_shared"]["high"]]
        # Every user of this world has 12 known pages.
        assert row["groups"]["6-20"]["gauc_vs_refit"] == row["gauc_vs_refit"]
        assert row["groups"]["1-5"]["gauc_vs_refit"] is None


def test_a_world_without_tastes_gives_no_gain() -> None:
    document = evaluate_methods(make_world(users=60, pages=6, taste=0), ["prior"], seeds=1, folds=2)
    row = {row["method"]: row for row in document["rows"]}["prior"]
    assert row["gauc_vs_refit"]["mean"] < 0.01
    assert row["worse_share"] <= row["worse_share_noise"] + 0.15


def test_the_kernel_of_the_prior_gives_the_mode_of_the_posterior(world: MetaWorld) -> None:
    """The head has independent numbers. Its patch must say the same as the full prior, covariance with the bias too."""
    rng = np.random.default_rng(3)
    numbers = world.standard.rank + 1
    root = rng.normal(0, 0.3, (numbers, numbers))
    prior = Prior(rng.normal(0, 0.2, numbers), root @ root.T + 0.05 * np.eye(numbers))
    learned = learned_prior(world, prior, rank=None, method="prior")
    each = world.trainees[0]
    expected, _ = newton(each.problem, prior.mean, np.linalg.inv(prior.covariance), steps=20)
    own = events_of(world.activations, learned.head, each.task.known)
    theta = learned.patch(own, own)
    said = own.phi @ theta[:-1] + theta[-1]
    assert said == pytest.approx(each.problem.x @ expected, abs=2e-3)


def test_a_low_rank_keeps_the_mean_of_the_prior(world: MetaWorld) -> None:
    rng = np.random.default_rng(4)
    numbers = world.standard.rank + 1
    prior = Prior(rng.normal(0, 0.5, numbers), np.diag(np.linspace(0.5, 0.01, numbers)))
    head = learned_prior(world, prior, rank=2, method="prior").head
    assert head.rank == 3
    each = world.trainees[0]
    own = events_of(world.activations, head, each.task.known)
    said = own.phi @ head.start[:-1] + head.start[-1]
    assert said == pytest.approx(each.problem.x @ prior.mean, abs=2e-3)


def test_em_finds_the_columns_in_which_users_differ() -> None:
    activations = make_world(users=60, pages=10)
    world = meta_world(activations, tasks_of(activations), candidate=True, version_id="v", seed=1)
    learned = prior_method(world, np.zeros(world.standard.rank + 1), rank=2)
    used = np.square(learned.head.kernel).sum(axis=1)
    assert set(np.argsort(used)[-2:].tolist()) == {5, 6}


def world_of(taste: float) -> MetaWorld:
    """Return users with few events."""
    activations = make_world(users=80, pages=4, items=6, taste=taste, seed=2)
    return meta_world(activations, tasks_of(activations), candidate=True, version_id="v", seed=1)


def test_gradient_steps_are_shrunk_where_users_do_not_differ() -> None:
    shrinks = []
    for taste in (0.0, 4.0):
        world = world_of(taste)
        learned = with_shrink(world, Learned(gradient_head(world, 0.1, 1.0, method="finetune")))
        assert learned.settings == {"shrink_events": learned.head.training.shrink_events}
        shrinks.append(learned.head.training.shrink_events)
    assert shrinks[0] >= 40
    assert shrinks[1] <= 10


def test_a_prior_of_real_tastes_is_hardly_shrunk() -> None:
    world = world_of(taste=4)
    learned = prior_method(world, np.zeros(world.standard.rank + 1))
    assert learned.settings is not None
    assert learned.settings["shrink_events"] == learned.head.training.shrink_events <= 10


def test_the_gate_learns_what_patches_gain(world: MetaWorld) -> None:
    own = with_gate(world, prior_method(world, np.zeros(world.standard.rank + 1)))
    assert own.head.training.gain > 0.02
    assert own.head.training.reach < 1000
    none = with_gate(world, shared(world))
    assert none.head.training.gain == 0


def test_the_gain_of_meta_training_counts_as_the_events_that_the_variances_say() -> None:
    rng = np.random.default_rng(5)
    # The variance of an event is 0.09 and that of users 0.0009, so the prior counts as 100 events.
    users = rng.normal(0.05, 0.03, 2000)
    gain, events = prior_gain([rng.normal(one, 0.3, rng.integers(20, 60)) for one in users])
    assert gain == pytest.approx(0.05, abs=0.005)
    assert events == pytest.approx(100, rel=0.25)
    same = [rng.normal(0.05, 0.3, 30) for _ in range(50)]
    assert prior_gain([each - each.mean() + 0.05 for each in same]) == (pytest.approx(0.05), MOST_EVENTS)


def test_meta_train_returns_a_head_of_the_model_version() -> None:
    found = meta_train(make_world(users=30, pages=6), "finetune", version_id="20260101000000-0123456789ab")
    head = PersonalHead.from_bytes(found.head.to_bytes())
    assert head.training.version_id == found.document["version_id"] == "20260101000000-0123456789ab"
    assert head.training.method == "finetune"


def test_a_method_is_learnt_from_the_users_of_meta_training_alone() -> None:
    """Other labels of the users of evaluation must not change what is learnt."""
    activations = make_world(users=30, pages=6)
    tasks = tasks_of(activations)
    heads = []
    for flip in (False, True):
        label = activations.label.copy()
        if flip:
            label[tasks[20].known.start :] = 1 - label[tasks[20].known.start :]
        changed = type(activations)(**{**vars(activations), "label": label})
        world = meta_world(changed, tasks[:20], candidate=True, version_id="v", seed=1)
        heads.append(with_gate(world, Learning(world).prior).head.to_bytes())
    assert heads[0] == heads[1]


@pytest.mark.parametrize(("users", "pages", "reason"), [(30, 1, "no user has two pages"), (12, 4, "at least 20 users")])
def test_too_few_users_are_one_line(users: int, pages: int, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        evaluate_methods(make_world(users=users, pages=pages), ["finetune"], seeds=1, folds=2)


def test_an_unknown_method_is_one_line() -> None:
    with pytest.raises(InputError, match=r"method 'priors' should be one of shared, .* \(did you mean prior\?\)"):
        check_methods(["priors"])


def test_problem_has_a_column_of_ones_for_the_bias(world: MetaWorld) -> None:
    problem: Problem = world.trainees[0].problem
    assert (problem.x[:, -1] == 1).all()
    assert problem.x.shape == (len(world.trainees[0].known), world.standard.rank + 1)
