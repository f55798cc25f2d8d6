"""What `edgerec bench all` says before it begins."""

from __future__ import annotations

from edgerec.bench.announcement import announcement, seconds_of
from edgerec.bench.plan import ALL, Plan


def test_it_says_what_is_measured_and_about_how_long() -> None:
    said = announcement(Plan(ALL, rounds=30, processes=3, sweep=True))
    assert "step, rerank, behaviour" in said
    assert "response, personal (if the bundle has a head of patches), size" in said
    assert "memory, profile and sweeps, with 30 rounds in 3 processes" in said
    assert "about 80 seconds without other work" in said
    assert "about 2 minutes" in announcement(Plan(ALL, rounds=30, processes=3, sweep=True, sustained=40.0))
    # A process without a round is not started.
    assert "sweeps" not in (one := announcement(Plan(ALL, rounds=1, processes=3)))
    assert "profile, with 1 round in 1 process." in one


def test_fewer_rounds_and_no_sweep_are_shorter_and_peers_longer() -> None:
    plan = Plan(ALL, rounds=30, processes=3, sweep=True)
    shorter = [Plan(ALL, rounds=30, processes=3), Plan(ALL, rounds=10, processes=3, sweep=True)]
    assert max(map(seconds_of, shorter)) < seconds_of(plan) < seconds_of(Plan(ALL, peers=True, sweep=True, processes=3))
