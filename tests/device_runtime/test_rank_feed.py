from __future__ import annotations

import numpy as np
import pytest

from edgerec.core.errors import SessionError
from edgerec.device_runtime.encodings import Encodings
from edgerec.device_runtime.rank_feed import KindFeed
from edgerec.features.behaviours import EXPOSURE

KEYS = Encodings(np.full((2, 32), -1, np.float32), np.zeros((2, 8), np.float32))


def feed(name: str, *, hidden: int = 8) -> KindFeed:
    shapes = {name: (4, 32), "exposure_values": (4, hidden), "exposure_mask": (4, 1)}
    return KindFeed({name: np.zeros(shape, np.float32) for name, shape in shapes.items()}, EXPOSURE)


@pytest.mark.parametrize("name", ["exposure_positive_keys", "exposure_keys"])
def test_negative_keys_are_refused_if_the_name_or_the_widths_say_that_keys_are_positive(name: str) -> None:
    with pytest.raises(SessionError, match=r"`exposures\.keys` should be positive"):
        feed(name).check(KEYS)


def test_negative_keys_are_accepted_if_the_name_says_that_keys_have_any_sign() -> None:
    signed = feed("exposure_signed_keys")
    assert signed.check(KEYS) == 2
    signed.write(KEYS, None)
    np.testing.assert_array_equal(signed.keys[:2], KEYS.keys)


def test_the_name_is_valid_for_values_of_any_width() -> None:
    assert feed("exposure_positive_keys", hidden=3).positive
    assert not feed("exposure_keys", hidden=32).positive
