from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest

from edgerec.core.errors import InputError
from edgerec.model import tally as module
from edgerec.model.metrics import gauc, request_aucs
from edgerec.model.tally import Scored, Tally
from tests.model.scoring import scored


def tallied(*parts: Scored) -> Tally:
    tally = Tally()
    for part in parts:
        tally.add(part)
    return tally


def drawn(requests: int, *, seed: int = 0, first: int = 0, users: int = 30) -> Scored:
    """Return requests of 2 to 12 exposures with random logits. Clicks are drawn with the probability sigmoid(logit)."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(2, 13, requests)
    group = np.repeat(np.arange(requests) + first, sizes)
    logit = rng.normal(-1, 1.5, len(group))
    label = (rng.random(len(group)) < 1 / (1 + np.exp(-logit))).astype(np.uint8)
    place = np.concatenate([np.arange(size) for size in sizes])
    known = rng.integers(0, 120, requests)
    return Scored(group, label, logit, place, (group * 7) % users, known[group - first], known[group - first] // 2)


def test_figures_equal_values_computed_by_hand() -> None:
    found = tallied(scored([0, 0, 1, 1, 1], [1, 0, 0, 1, 0], [0.0, 1.0, 3.0, 2.0, 1.0])).figures(seed=1)
    # In request 0, the only pair is in the wrong order. In request 1, one of two pairs is in the right order.
    assert found["gauc"] == pytest.approx((2 * 0 + 3 * 0.5) / 5)
    # Of the six pairs of a clicked and an unclicked exposure, two are in the right order: the click with logit 2 is
    # above both exposures with logit 1.
    assert found["auc"] == pytest.approx(2 / 6)
    assert (found["gauc_requests"], found["users"]) == (2, 2)
    assert found["ndcg@5"] == pytest.approx(1 / math.log2(3))
    entropy = [math.log1p(math.exp(-x if y else x)) for x, y in [(0, 1), (1, 0), (3, 0), (2, 1), (1, 0)]]
    assert found["logloss"] == pytest.approx(np.mean(entropy))


def test_a_perfect_model_has_a_log_loss_of_zero() -> None:
    found = tallied(scored([0, 0], [1, 0], [800.0, -800.0])).figures(seed=1)
    assert (found["logloss"], found["auc"], found["gauc"]) == (0.0, 1.0, 1.0)


def test_figures_do_not_depend_on_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = drawn(900)
    once, parts = tallied(whole), Tally()
    for low in range(0, 900, 7):
        rows = (whole.group >= low) & (whole.group < low + 7)
        parts.add(Scored(**{name: values[rows] for name, values in vars(whole).items()}))
    for found in (once, parts):
        assert found.figures(seed=3)["gauc"] == pytest.approx(gauc(whole.group, whole.label, whole.logit), abs=1e-12)
    one, other = ({**found.figures(seed=3), "gauc_ci95": 0} for found in (once, parts))
    assert one == pytest.approx(other, abs=1e-12)
    assert once.figures(seed=3)["gauc_ci95"] == pytest.approx(parts.figures(seed=3)["gauc_ci95"], abs=1e-12)
    whole_, cut = once.details(), parts.details()
    for rows, others in [
        (whole_["calibration"], cut["calibration"]),
        *((rows, cut["breakdown"][name]) for name, rows in whole_["breakdown"].items()),
    ]:
        assert len(rows) == len(others) > 0
        for row, again in zip(rows, others, strict=True):
            assert row == pytest.approx(again, abs=1e-9)


def test_auc_equals_the_exact_auc_over_all_pairs() -> None:
    found = drawn(500)
    (exact,), _ = request_aucs(np.zeros(len(found.group), np.int64), found.label, found.logit)
    assert tallied(found).figures(seed=1)["auc"] == pytest.approx(exact, abs=2e-5)


def test_confidence_intervals_resample_users() -> None:
    """If each request is copied for the same user, the interval stays the same. With new users, it becomes narrower."""
    single = drawn(300, users=300)
    tenfold = [Scored(**{**vars(single), "group": single.group + 300 * copy}) for copy in range(10)]
    low, high = tallied(single).figures(seed=1)["gauc_ci95"]
    low_tenfold, high_tenfold = tallied(*tenfold).figures(seed=1)["gauc_ci95"]
    assert (low_tenfold, high_tenfold) == pytest.approx((low, high), abs=1e-9)
    other = [Scored(**{**vars(part), "user": part.user + 300 * copy}) for copy, part in enumerate(tenfold)]
    low_other, high_other = tallied(*other).figures(seed=1)["gauc_ci95"]
    assert high_other - low_other < 0.5 * (high - low)


def test_large_user_ids_stay_distinct() -> None:
    found = tallied(scored([0, 0, 1, 1], [1, 0, 0, 1], [1.0] * 4, user=[2**53, 2**53, 2**53 + 1, 2**53 + 1]))
    assert found.user_sums().user.tolist() == [2**53, 2**53 + 1]


def test_calibration_error_shows_shifted_logits() -> None:
    right = drawn(4000)
    assert tallied(right).figures(seed=1)["calibration_error"] < 0.015
    shifted = Scored(**{**vars(right), "logit": right.logit + 1})
    assert tallied(shifted).figures(seed=1)["calibration_error"] > 0.1
    bins = tallied(right).details()["calibration"]
    assert len(bins) == 10
    assert [row["predicted"] for row in bins] == sorted(row["predicted"] for row in bins)
    assert sum(row["exposures"] for row in bins) == len(right.group)


def test_breakdowns_sum_to_the_total() -> None:
    found = drawn(600)
    tally = tallied(found)
    breakdown, figures = tally.details()["breakdown"], tally.figures(seed=1)
    for name in ("requests_of_user", "known_exposures", "known_page_views"):
        assert sum(row["requests"] for row in breakdown[name]) == figures["gauc_requests"]
    assert sum(row["exposures"] for row in breakdown["place"]) == len(found.group)
    first = next(row for row in breakdown["place"] if row["from"] == 1)
    assert first["click_rate"] == pytest.approx(found.label[found.position == 0].mean())


def test_nothing_to_rank_is_an_error() -> None:
    with pytest.raises(InputError, match="GAUC has no value"):
        tallied(scored([0, 1], [0, 1], [0.0, 0.0])).figures(seed=1)
    with pytest.raises(InputError, match="GAUC has no value"):
        Tally().details()


def test_memory_does_not_grow_with_requests() -> None:
    part = drawn(500)

    def peak(batches: int) -> int:
        tracemalloc.start()
        tally = Tally()
        for number in range(batches):
            tally.add(Scored(**{**vars(part), "group": part.group + 500 * number}))
        tally.figures(seed=1)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(1)
    assert peak(200) < 1.1 * peak(80)
    assert np.abs(part.logit).max() < module.LARGEST_LOGIT
