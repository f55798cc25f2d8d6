from __future__ import annotations

import hashlib

from edgerec.cloud.rollout import in_share, position


def test_the_position_of_a_user_is_that_of_the_docs() -> None:
    digest = hashlib.sha256(b"v1:-7").hexdigest()
    bits = bin(int(digest, 16))[2:].zfill(256)
    assert position("v1", -7) == int(bits[:53], 2) / 2**53
    # A later version of EdgeRec must not move users to another version.
    assert position("v1", 7) == 0.047746702116339246


def test_a_share_has_its_part_of_the_users_and_keeps_them_when_it_grows() -> None:
    users = range(5_000)
    tenth = {user for user in users if in_share(0.1, "v1", user)}
    half = {user for user in users if in_share(0.5, "v1", user)}
    assert 430 < len(tenth) < 570
    assert 2_380 < len(half) < 2_620
    assert tenth < half
    assert all(in_share(1.0, "v1", user) for user in users)
    assert not any(in_share(0.0, "v1", user) for user in users)


def test_shares_of_two_versions_are_independent() -> None:
    users = range(5_000)
    both = sum(in_share(0.5, "v1", user) and in_share(0.5, "v2", user) for user in users)
    assert 1_130 < both < 1_370
