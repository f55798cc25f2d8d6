"""Logged lists: kinds of cards, first requests of pages, and exposures that count once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgerec.core.errors import ConfigurationError
from edgerec.data.samples import NOT_EXPOSED, TRAIN, VALIDATION, Samples, open_samples
from edgerec.features.spec import table1
from edgerec.mixing.rules import MixRules, parse_rules
from edgerec.model.mixing.kinds import KindReader
from edgerec.model.mixing.lists import lists_looked_at, shard_lists


@pytest.fixture(scope="module")
def rules() -> MixRules:
    return parse_rules({"kinds": {"product": {}, "video": {}, "ad": {"share": [0, 0.1], "gap": 2}}}, where="test")


@pytest.fixture(scope="module")
def mixed_samples(mixed_path: Path) -> Samples:
    return open_samples(mixed_path / "samples")


def test_each_exposure_counts_once(mixed_samples: Samples, rules: MixRules) -> None:
    counted, exposures = 0, set()
    for lists in shard_lists(mixed_samples, TRAIN, KindReader(mixed_samples.head.spec, rules)):
        requests = lists.shard.requests
        page = np.repeat(requests.page, requests.lengths)
        exposed = requests.label != NOT_EXPOSED
        exposures |= set(zip(page[exposed].tolist(), requests.row[exposed].tolist(), strict=True))
        counted += int((exposed & lists.latest).sum())
    assert counted == len(exposures) > 100


def test_lists_are_those_of_whole_pages(mixed_samples: Samples, rules: MixRules) -> None:
    reader = KindReader(mixed_samples.head.spec, rules)
    found = [one for split in (TRAIN, VALIDATION) for one in lists_looked_at(mixed_samples, split, reader)]
    pages = sum(mixed_samples.head.splits[split].pages for split in (TRAIN, VALIDATION))
    assert len(found) == pages
    assert {len(one.kinds) for one in found} == {8}
    assert {kind for one in found for kind in one.kinds.tolist()} == {0, 1, 2}


def test_a_specification_without_kinds_is_one_clear_line(rules: MixRules) -> None:
    with pytest.raises(ConfigurationError, match="no one_hot feature of the items reads that column"):
        KindReader(table1(), rules)


def test_a_kind_that_the_feature_does_not_list_is_one_clear_line(mixed_samples: Samples) -> None:
    rules = parse_rules({"kinds": {"product": {}, "game": {}}}, where="test")
    with pytest.raises(ConfigurationError, match="'game' is not among the values"):
        KindReader(mixed_samples.head.spec, rules)
