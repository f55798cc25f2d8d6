"""Training, evaluation and ablation of ESAN, on logs in which a click depends on the kind of the card before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgerec.core.errors import ConfigurationError
from edgerec.data.samples import Samples, open_samples
from edgerec.model.config import TrainConfig
from edgerec.model.runs import load_run, model_for
from edgerec.model.surroundings import ablate
from edgerec.model.surroundings.evaluate import evaluate_in_list
from edgerec.model.surroundings.shown import NO_CARD, shown_cards
from edgerec.model.training import train
from edgerec.rankers import registry
from tests import quicker
from tests.mixing.mixed_logs import AFTER_AD, AFTER_OTHER, AT_TOP, KINDS


@pytest.fixture(scope="module")
def document(mixed_path: Path) -> dict[str, Any]:
    with quicker.run_eagerly(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgerec.model.surroundings.document.LEAST", 20)
        return evaluate_in_list(load_run(mixed_path / "learnt"), open_samples(mixed_path / "samples"), split="test")


def test_esan_learns_what_the_card_before_does(document: dict[str, Any]) -> None:
    shown, alone = document["models"]["in_list"], document["models"]["relevance"]
    assert shown["auc"] > 0.8 > 0.65 > alone["auc"]
    assert alone["auc_vs_ci95"][1] < 0 < alone["logloss_vs_ci95"][0]


def test_predicted_click_rates_are_those_of_the_world(document: dict[str, Any]) -> None:
    sums: dict[float, list[float]] = {AFTER_AD: [0, 0], AT_TOP: [0, 0], AFTER_OTHER: [0, 0]}
    for row in document["pairs"]:
        rate = {"ad": AFTER_AD, "(top of the list)": AT_TOP}.get(row["previous"], AFTER_OTHER)
        sums[rate][0] += row["exposures"] * row["predicted"]["in_list"]
        sums[rate][1] += row["exposures"]
    # The small model exaggerates somewhat.
    after_ad, after_other = (sums[rate][0] / sums[rate][1] for rate in (AFTER_AD, AFTER_OTHER))
    assert AFTER_AD - 0.15 < after_ad < 0.95
    assert 0 < after_other < AFTER_OTHER + 0.1
    assert [row["kind"] for row in document["previous"]] == [*KINDS, NO_CARD]


@pytest.mark.slow
def test_shuffled_surroundings_lose_the_gain(mixed_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shuffled = registry.Model(registry.ESAN, "", options={"around": "shuffled"})
    monkeypatch.setitem(registry._OWN, "esan_shuffled", shuffled)
    config = load_run(mixed_path / "learnt").head.config
    configs = {
        "esan": TrainConfig(**config.model_dump()),
        "esan_shuffled": TrainConfig(**{**config.model_dump(), "model": "esan_shuffled"}),
    }
    samples = open_samples(mixed_path / "samples")
    found = ablate.ablate_surroundings(samples, configs, tmp_path / "out", seeds=1, split="test")["models"]
    assert found["esan"]["auc"] > 0.8 > 0.65 > found["esan_shuffled"]["auc"]
    assert found["esan_shuffled"]["auc_vs_ci95"][1] < 0 < found["esan_shuffled"]["logloss_vs_ci95"][0]


def test_each_exposure_counts_once_in_the_latest_request(mixed_path: Path) -> None:
    samples = open_samples(mixed_path / "samples")
    cards, split = shown_cards(samples, "test"), samples.head.splits["test"]
    assert len(cards.label) < len(cards.chosen) == split.exposures
    # Of some pages, the test period has only the second request, with 5 of 8 cards.
    tops = int((cards.previous == len(KINDS) + 1).sum())
    assert 0 < tops < split.pages
    assert len(cards.label) == 8 * tops + 5 * (split.pages - tops)
    assert cards.neighbours[-1] == "(top of the list)"


@pytest.mark.usefixtures("eager")
def test_stopped_ablation_goes_on_after_the_last_finished_variant(
    mixed_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples, learnt = open_samples(mixed_path / "samples"), load_run(mixed_path / "learnt")
    configs = {name: TrainConfig(model=name) for name in ("esan", "esan_shuffled")}
    trained: list[str] = []

    def stop_at_second(samples: Samples, config: TrainConfig, path: Path, **_: Any) -> Any:
        trained.append(config.model)
        if len(trained) == 2:
            raise KeyboardInterrupt
        return learnt

    monkeypatch.setattr(ablate, "train", stop_at_second)
    options: dict[str, Any] = {"seeds": 1, "split": "test"}
    with pytest.raises(KeyboardInterrupt):
        ablate.ablate_surroundings(samples, configs, tmp_path / "out", **options)
    document = ablate.ablate_surroundings(samples, configs, tmp_path / "out", resume=True, **options)
    assert trained == ["esan", "esan_shuffled", "esan_shuffled"]
    # Both variants are the same model here, so the paired difference is exactly 0.
    assert document["models"]["esan_shuffled"]["auc_vs_ci95"] == [0, 0]
    assert (tmp_path / "out" / "mix_ablation.md").read_text().startswith("# Click rates")
    again = ablate.ablate_surroundings(samples, configs, tmp_path / "out", force=True, **options)
    assert again["models"] == document["models"]


def test_samples_without_kinds_of_cards_are_refused(samples: Samples, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="one_hot with the source 'card_kind'"):
        model_for(samples, TrainConfig(model="esan"))
    with pytest.raises(ConfigurationError, match="have no kinds of cards"):
        shown_cards(samples, "test")


def test_shuffled_candidates_are_refused(mixed_path: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"esan learns from the order .*: set shuffle_candidates = false"):
        train(
            open_samples(mixed_path / "samples"), TrainConfig(model="esan", shuffle_candidates=True), tmp_path / "run"
        )
