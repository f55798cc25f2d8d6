"""What a benchmark measures, and how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgerec.bundle.signing import PublicKey
from edgerec.core.errors import InputError

STEP, RERANK, BEHAVIOUR, RESPONSE, PERSONAL = "step", "rerank", "behaviour", "response", "personal"
SIZE, PROFILE, COLD, MEMORY, ALL = "size", "profile", "cold", "memory", "all"
WHAT = (STEP, RERANK, BEHAVIOUR, RESPONSE, PERSONAL, SIZE, COLD, MEMORY, PROFILE, ALL)
"""What can be measured."""
WITH_PEERS = (STEP, RERANK, ALL)
"""What other engines and other bundles can do, too."""
TIMED = (STEP, RERANK, BEHAVIOUR, RESPONSE, PERSONAL, ALL)
"""What is measured in rounds."""
STARTS = {COLD: 3, MEMORY: 10}
"""If all is measured, this many rounds mean one device process."""
MOST_ROUNDS = 100_000
"""All durations stay in memory, so the number of rounds is bounded."""
SWEEP_SHARE = 3
"""A sweep has this part of the rounds."""


@dataclass(frozen=True)
class Plan:
    """What a benchmark measures, and how.

    Attributes:
        what: one of `WHAT`.
        peers: also measure other engines.
        rounds: number of rounds in all processes together. For `cold` and `memory`, the number of device processes.
        processes: number of processes that share the rounds. They run one after the other.
        threads: number of threads of MNN.
        cpus: processors that the measurement is bound to.
        sweep: also measure other lengths, numbers of candidates and numbers of threads.
        sustained: also repeat one call for this number of seconds.
        beside: other bundles to measure in the same turns.
        public_key: the key that must have signed the bundles. None requires no signature.

    Raises:
        InputError: a value is wrong.
    """

    what: str
    peers: bool = False
    rounds: int = 30
    processes: int = 1
    threads: int = 1
    cpus: tuple[int, ...] | None = None
    sweep: bool = False
    sustained: float | None = None
    beside: tuple[Path, ...] = ()
    public_key: PublicKey | None = None

    def __post_init__(self) -> None:
        if self.what not in WHAT:
            raise InputError(f"bench: expected one of {', '.join(WHAT)}; received {self.what!r:.40}")
        for name in ("rounds", "processes", "threads"):
            value = getattr(self, name)
            if value < 1:
                raise InputError(f"bench: --{name} should be at least 1; received {value}")
        if self.rounds > MOST_ROUNDS:
            raise InputError(f"bench: --rounds should be at most {MOST_ROUNDS:,}; received {self.rounds}")
        if self.sustained is not None and not 0.1 <= self.sustained <= 86_400:
            raise InputError(f"bench: --sustained should be 0.1 to 86,400 seconds; received {self.sustained:g}")

    @property
    def shares(self) -> list[int]:
        """The number of rounds of each process. No process has none."""
        if self.what not in TIMED:
            return [self.rounds]
        count = min(self.processes, self.rounds)
        return [self.rounds // count + (number < self.rounds % count) for number in range(count)]

    def starts(self, what: str) -> int:
        """Return how many device processes are started for `cold` or `memory`."""
        return self.rounds if self.what == what else max(1, self.rounds // STARTS[what])

    def includes(self, what: str) -> bool:
        """Return whether `what` is measured."""
        return self.what in (what, ALL)
