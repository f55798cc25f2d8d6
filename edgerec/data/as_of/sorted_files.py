"""Sort the facts of all users in files, in flat memory, and map the result as timelines.

Each partition of users writes its facts as one file (`write_run`). `merge_runs` sorts each of them. Then it divides all
numbers into ranges of about `MERGED` facts. For each range it reads the numbers from all files, sorts them and appends
them to the result. So memory holds one range at a time, even if most facts belong to one item.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgerec.core.arrays import array_writer, save_array
from edgerec.data.as_of.timeline import Floats, Integers, Timeline, combined, in_order, running_sums, time_range

WHAT = "as-of"
AXIS = "axis.npy"
MERGED = 2**22
"""Number of facts that are merged at a time."""
SAMPLE = 2**10
"""Each file gives one of so many of its numbers to choose the ranges."""


@dataclass(frozen=True)
class Run:
    """The facts of a partition of users, in files.

    Attributes:
        path: the file of the keys and times; later of the numbers that `combined` makes of them.
        weighted: whether there is also a file of weights.
    """

    path: Path
    weighted: bool

    @property
    def weights(self) -> Path:
        """The file of the weights."""
        return self.path.with_suffix(".weights.npy")

    def save(self, facts: Integers, weights: Floats | None) -> None:
        """Write the facts and their weights."""
        save_array(self.path, facts, what=WHAT)
        if weights is not None:
            save_array(self.weights, weights, what=WHAT)

    def map(self) -> tuple[Integers, Floats | None]:
        """Map the facts and their weights."""
        return np.load(self.path, mmap_mode="r"), np.load(self.weights, mmap_mode="r") if self.weighted else None

    def remove(self) -> None:
        """Remove the files."""
        self.path.unlink()
        self.weights.unlink(missing_ok=True)


def write_run(run: Run, keys: Integers, times: Integers, weights: Floats | None) -> tuple[int, int] | None:
    """Write facts with keys, times and weights (n,). Return the first and the last time, if any.

    Raises:
        OutputError: a file cannot be written.
    """
    run.save(np.stack([keys, times]), weights)
    return (int(times.min()), int(times.max())) if len(times) else None


def merge_runs(
    runs: Sequence[Run], extremes: Iterable[tuple[int, int] | None], path: Path, half_lives: Iterable[int | None]
) -> MappedTimeline:
    """Merge `runs` into a timeline in the folder `path`, and remove them.

    Args:
        runs: the runs that `write_run` wrote. All or none have weights.
        extremes: what `write_run` returned.
        path: the folder to write.
        half_lives: the half-lives in milliseconds for which sums are written; None for sums that do not decay.

    Raises:
        InputError: there are too many keys over too long a time.
        OutputError: a file cannot be written.
    """
    ranges = [each for each in extremes if each is not None]
    whole = (min(low for low, _ in ranges), max(high for _, high in ranges)) if ranges else None
    start, span = time_range(whole)
    for run in runs:
        (keys, times), weights = run.map()
        run.save(*in_order(combined(keys, times, start=start, span=span), weights))
    made = MappedTimeline(path, start, span, tuple(half_lives))
    path.mkdir()
    if whole is not None:
        _write(made, [run.map() for run in runs])
    for run in runs:
        run.remove()
    return made


_Facts = tuple[Integers, Floats | None]


def _write(made: MappedTimeline, runs: Sequence[_Facts]) -> None:
    total = sum(len(numbers) for numbers, _ in runs)
    before: dict[int | None, tuple[int, float]] = {}
    with ExitStack() as files:
        add = files.enter_context(array_writer(made.folder / AXIS, np.int64, total, what=WHAT))
        add_sums = {
            each: files.enter_context(array_writer(made.sums_file(each), np.float64, total, what=WHAT))
            for each in made.half_lives
        }
        for piece, weights in _pieces(runs):
            add(piece)
            for half_life, add_sum in add_sums.items():
                sums = running_sums(piece, weights, span=made.span, half_life=half_life, before=before.get(half_life))
                before[half_life] = int(piece[-1]), float(sums[-1])
                add_sum(sums)


def _pieces(runs: Sequence[_Facts]) -> Iterator[_Facts]:
    """Yield the facts of all sorted runs in ascending order, in pieces of about `MERGED`."""
    numbers = [each for each, _ in runs]
    samples = np.sort(np.concatenate([run[::SAMPLE] for run in numbers]))
    bounds = np.unique(samples[MERGED // SAMPLE :: MERGED // SAMPLE])
    ends = np.array([[*np.searchsorted(run, bounds), len(run)] for run in numbers])
    begins = np.zeros(len(runs), np.int64)
    for column in ends.T:
        slices = [slice(begin, end) for begin, end in zip(begins, column, strict=True)]
        weights = [weight[part] for (_, weight), part in zip(runs, slices, strict=True) if weight is not None]
        piece = np.concatenate([run[part] for run, part in zip(numbers, slices, strict=True)])
        if len(piece):
            yield in_order(piece, np.concatenate(weights) if weights else None)
        begins = column


@dataclass(frozen=True)
class MappedTimeline:
    """A timeline in files. Every process maps the same files.

    Attributes:
        folder: the folder of the files.
        start, span: as in `Timeline`.
        half_lives: the half-lives whose sums are in the folder.
    """

    folder: Path
    start: int
    span: int
    half_lives: tuple[int | None, ...]

    def sums_file(self, half_life: int | None) -> Path:
        """Return the file of the sums for one half-life."""
        return self.folder / f"sums-{half_life}.npy"

    def map(self) -> Timeline:
        """Map the files. Without facts there are no files."""
        if not (self.folder / AXIS).is_file():
            return Timeline(np.empty(0, np.int64), start=self.start, span=self.span)
        sums = {each: np.load(self.sums_file(each), mmap_mode="r") for each in self.half_lives}
        return Timeline(np.load(self.folder / AXIS, mmap_mode="r"), start=self.start, span=self.span, sums=sums)
