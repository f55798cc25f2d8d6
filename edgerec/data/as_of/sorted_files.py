"""Sort the facts of all users in files, in flat memory, and map the result as timelines.

Each partition of users writes its facts as one file (`write_run`). `merge_runs` sorts each of them. Then it divides all
numbers into ranges of about `MERGED` facts. For each range it reads the numbers from all files, sorts them and appends
them to the result. So memory holds one range at a time, even if most facts belong to one item.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

from edgerec.core.errors import OutputError
from edgerec.data.as_of.timeline import Integers, Timeline, combined, decayed_sums, time_range

AXIS = "axis.npy"
MERGED = 2**22
"""Number of facts that are merged at a time."""
SAMPLE = 2**10
"""Each file gives one of so many of its numbers to choose the ranges."""


def write_run(path: Path, keys: Integers, times: Integers) -> tuple[int, int] | None:
    """Write the facts of a partition, with keys (n,) and times (n,). Return the first and the last time, if any.

    Raises:
        OutputError: the file cannot be written.
    """
    _save(path, np.stack([keys, times]))
    return (int(times.min()), int(times.max())) if len(times) else None


def merge_runs(
    runs: Sequence[Path], extremes: Iterable[tuple[int, int] | None], path: Path, half_lives: Iterable[int]
) -> MappedTimeline:
    """Merge the files `runs` into a timeline in the folder `path`. The runs are changed.

    Args:
        runs: the files that `write_run` wrote.
        extremes: what `write_run` returned.
        path: the folder to write.
        half_lives: the half-lives in milliseconds for which decayed sums are written.

    Raises:
        InputError: there are too many keys over too long a time.
        OutputError: a file cannot be written.
    """
    ranges = [each for each in extremes if each is not None]
    whole = (min(low for low, _ in ranges), max(high for _, high in ranges)) if ranges else None
    start, span = time_range(whole)
    for run in runs:
        keys, times = np.load(run)
        _save(run, np.sort(combined(keys, times, start=start, span=span)))
    made = MappedTimeline(path, start, span, tuple(half_lives))
    path.mkdir()
    if whole is not None:
        try:
            _write(made, [np.load(run, mmap_mode="r") for run in runs])
        except OSError as error:
            raise _full(path, error) from None
    return made


def _write(made: MappedTimeline, runs: Sequence[Integers]) -> None:
    total = sum(len(run) for run in runs)
    axis = open_memmap(made.folder / AXIS, mode="w+", dtype=np.int64, shape=(total,))
    sums = {
        each: open_memmap(made.sums_file(each), mode="w+", dtype=np.float64, shape=(total,)) for each in made.half_lives
    }
    before: dict[int, tuple[int, float]] = {}
    done = 0
    for piece in _pieces(runs):
        here = slice(done, done + len(piece))
        axis[here] = piece
        for half_life, out in sums.items():
            out[here] = decayed_sums(piece, made.span, half_life, before=before.get(half_life))
            before[half_life] = int(piece[-1]), float(out[here][-1])
        done += len(piece)


def _pieces(runs: Sequence[Integers]) -> Iterator[Integers]:
    """Yield the numbers of all sorted runs in ascending order, in pieces of about `MERGED`."""
    samples = np.sort(np.concatenate([run[::SAMPLE] for run in runs] or [np.empty(0, np.int64)]))
    bounds = np.unique(samples[MERGED // SAMPLE :: MERGED // SAMPLE])
    ends = np.array([[*np.searchsorted(run, bounds), len(run)] for run in runs]).reshape(len(runs), len(bounds) + 1)
    begins = np.zeros(len(runs), np.int64)
    for number in range(len(bounds) + 1):
        pieces = [run[begin:end] for run, begin, end in zip(runs, begins, ends[:, number], strict=True)]
        piece = np.sort(np.concatenate(pieces), kind="stable") if pieces else np.empty(0, np.int64)
        if len(piece):
            yield piece
        begins = ends[:, number]


@dataclass(frozen=True)
class MappedTimeline:
    """A timeline in files. Every process maps the same files.

    Attributes:
        folder: the folder of the files.
        start, span: as in `Timeline`.
        half_lives: the half-lives whose decayed sums are in the folder.
    """

    folder: Path
    start: int
    span: int
    half_lives: tuple[int, ...]

    def sums_file(self, half_life: int) -> Path:
        """Return the file of the decayed sums."""
        return self.folder / f"sums-{half_life}.npy"

    def map(self) -> Timeline:
        """Map the files. Without facts there are no files."""
        if not (self.folder / AXIS).is_file():
            return Timeline(np.empty(0, np.int64), start=self.start, span=self.span)
        sums = {each: np.load(self.sums_file(each), mmap_mode="r") for each in self.half_lives}
        return Timeline(np.load(self.folder / AXIS, mmap_mode="r"), start=self.start, span=self.span, sums=sums)


def _save(path: Path, array: Integers) -> None:
    try:
        np.save(path, array)
    except OSError as error:
        raise _full(path, error) from None


def _full(path: Path, error: OSError) -> OutputError:
    return OutputError(f"cannot write {path} ({error.strerror}): free some space or choose another --out")
