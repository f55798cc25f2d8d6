"""The tables of `edgerec evaluate` say what each baseline is."""

from __future__ import annotations

import pytest
from rich.console import Console

from edgerec.cli.learning import _not_better
from edgerec.cli.tables.learning import baselines_table


@pytest.mark.parametrize(("gauc", "same"), [(0.65884, True), (0.66, False)])
def test_each_baseline_is_explained_and_a_number_that_is_the_served_order_is_marked(gauc: float, same: bool) -> None:
    found = {"random": 0.5, "base_order": 0.65882, "best_single:p7_score": gauc, "truth": 0.84}
    document = {"split": "test", "requests": 1200, "impressions": 34567, "baselines": found}
    console = Console(width=120, record=True)
    console.print(baselines_table(document))
    text = console.export_text()
    assert "test: 1,200 requests with 34,567 shown candidates" in text
    assert "0.6588  (the served order)" in text
    assert "0.8400  (the true click probabilities: no model can be better)" in text
    assert ("(the best number of an item, as good as the served order: probably its score)" in text) is same


@pytest.mark.parametrize(
    ("epochs", "said"), [(1, "for 1 epoch only, it"), (3, "for 3 epochs only, it"), (4, None), (None, None)]
)
def test_the_note_on_a_bad_model_says_that_it_was_trained_for_few_epochs(epochs: int | None, said: str | None) -> None:
    note = _not_better(0.65884, epochs)
    assert "served order (GAUC 0.6588): it " in note
    assert (said or "(GAUC 0.6588): it has too few requests") in note
    assert ("epoch" in note) is (said is not None)
