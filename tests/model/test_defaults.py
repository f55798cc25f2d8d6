from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from edgerec.core.errors import ConfigurationError
from edgerec.data.samples import TRAIN, VALIDATION, Samples
from edgerec.model.config import ResolvedConfig, TrainConfig, check_config
from edgerec.model.defaults import SampleSize, choose, describe, large_batches, resolve, share_of_new_items

BY_SIZE = [name for name, field in TrainConfig.model_fields.items() if field.default is None and name != "listwise"]


@pytest.mark.parametrize(
    ("requests", "expected"),
    [
        (1, (1, 32, 6, 6, 1.0, False)),
        (3_000, (1, 32, 6, 6, 1.0, False)),
        (7_999, (1, 64, 6, 6, 1.0, False)),
        (10_000, (1, 128, 6, 6, 1.0, False)),
        (30_000, (1, 128, 6, 6, 1.0, False)),
        (100_000, (1, 512, 6, 6, 1.0, True)),
        (1_000_000, (3, 512, 10, 0, 2.0, True)),
    ],
)
def test_settings_depend_on_the_number_of_requests(requests: int, expected: tuple[float, ...]) -> None:
    found = choose(TrainConfig(), SampleSize(requests, new_items=0.0))
    assert expected == (
        found.layers,
        found.batch_size,
        found.epochs,
        found.decay_epochs,
        found.gain,
        found.compiled,
    )


@pytest.mark.parametrize(("new_items", "rate"), [(0.0, 0.05), (0.3, 0.3), (0.6634, 0.66), (1.0, 0.95)])
def test_the_unknown_rate_is_the_share_of_new_items(new_items: float, rate: float) -> None:
    assert choose(TrainConfig(), SampleSize(10_000, new_items)).unknown_rate == rate


def test_crban_plus_has_fewer_epochs_unless_there_are_very_few_requests() -> None:
    epochs = [choose(TrainConfig(model="crban_plus"), SampleSize(size, 0.0)).epochs for size in (7_999, 8_000, 200_000)]
    assert epochs == [6, 4, 10]


@pytest.mark.parametrize(("requests", "decay"), [(5_000, 6), (10_000, 4), (1_000_000, 0)])
def test_the_learning_rate_falls_over_at_most_the_default_number_of_epochs(requests: int, decay: int) -> None:
    """With more epochs, patience acts after the decay."""
    found = [choose(TrainConfig(model="crban_plus", epochs=each), SampleSize(requests, 0.0)) for each in (2, 100)]
    assert [each.epochs for each in found] == [2, 100]
    assert [each.decay_epochs for each in found] == [min(2, decay), decay]


def test_settings_of_the_user_are_kept_and_the_others_follow_them() -> None:
    found = choose(TrainConfig(epochs=9, batch_size=7, unknown_rate=0.5, compiled=True), SampleSize(10_000))
    assert (found.epochs, found.decay_epochs) == (9, 6)
    assert (found.batch_size, found.unknown_rate, found.compiled) == (7, 0.5, True)
    every = {name: getattr(found, name) for name in TrainConfig.model_fields}
    assert choose(TrainConfig(**every), SampleSize(1_000_000)).model_dump() == every


def test_batches_that_leave_few_steps_are_a_warning_unless_they_are_chosen_by_size(samples: Samples) -> None:
    pages = samples.head.splits[TRAIN].pages
    assert 20 <= pages < 640
    assert large_batches(TrainConfig(), samples) is None
    assert large_batches(TrainConfig(batch_size=32), samples) is None
    warning = large_batches(TrainConfig(batch_size=512), samples)
    assert warning is not None
    assert (
        f"512 is too large for an epoch of {pages:,} requests: it has only {-(-pages // 512)} training step" in warning
    )
    assert "leave batch_size out (then it is 32)" in warning


def test_xla_is_used_if_the_planned_training_is_long() -> None:
    long = {"epochs": 20, "layers": 3}
    assert choose(TrainConfig(**long), SampleSize(3_334, 0.0)).compiled
    assert not choose(TrainConfig(**long), SampleSize(3_333, 0.0)).compiled
    assert not choose(TrainConfig(**long, compiled=False), SampleSize(1_000_000, 0.0)).compiled


def test_new_items_have_few_exposures_in_training(samples: Samples) -> None:
    counts: dict[int, int] = {}
    for part in samples.requests(TRAIN):
        for row in part.row[part.label != 255]:
            counts[row] = counts.get(row, 0) + 1
    new = [counts.get(row, 0) < 10 for part in samples.requests(VALIDATION) for row in part.row[part.label != 255]]
    assert share_of_new_items(samples) == pytest.approx(np.mean(new))


def test_the_line_names_only_settings_that_were_chosen(samples: Samples) -> None:
    config = TrainConfig(layers=2, compiled=False)
    resolved = resolve(config, samples)
    line = describe(config, resolved, samples)
    assert line is not None
    assert all(f" {name} " in line for name in BY_SIZE if name != "layers")
    assert " layers " not in line
    assert " compiled " not in line
    assert resolve(resolved, samples) == resolved
    assert describe(resolved, resolved, samples) is None


def test_an_old_run_without_a_setting_has_its_old_default() -> None:
    assert ResolvedConfig.model_validate({"model": "dlcm"}).batch_size == 512
    assert set(BY_SIZE) == {"layers", "gain", "batch_size", "decay_epochs", "unknown_rate", "epochs"}


def test_an_old_run_may_state_that_it_has_no_crosses() -> None:
    assert ResolvedConfig.model_validate({"crosses": 0}) == ResolvedConfig()
    with pytest.raises(ValidationError, match="is not a known key"):
        ResolvedConfig.model_validate({"crosses": 2})
    with pytest.raises(ConfigurationError, match="crosses is not a known key"):
        check_config({"crosses": 0}, where="options")
