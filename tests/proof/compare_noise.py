"""Judge `edgerec bench compare` by itself: how often is it wrong about equal builds, and about a slower one?

    python -m tests.proof.compare_noise BUNDLE [--stage step] [--runs 32] [--json]

Each run starts three processes that take turns: two of this build, and one whose calls take 10 % longer
(`slowed_edgerec.py`). Then 300 comparisons of equal builds and 300 with the slower build are drawn from the runs. Each
comparison has 15 runs, drawn without replacement, so no process is compared with itself. In a comparison of equal
builds, chance decides in each run which of the two processes is A. The exit code is 1 if more than 3 % of the equal
builds differ, or if less than 95 % of the slower builds are `slower`.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgerec.bench.compare.in_turns import ROUNDS, Side, command_of, measure_in_turns
from edgerec.bench.compare.stages import STAGES
from edgerec.bench.compare.verdict import SAME, SLOWER, compare
from edgerec.bench.document import BenchDocument, Row
from edgerec.cli.output import emit

COMPARISONS, RUNS_OF_A_COMPARISON = 300, 15
MOST_WRONG, LEAST_FOUND = 0.03, 0.95
SLOWED = (sys.executable, "-m", "tests.proof.slowed_edgerec")


def drawn(sources: Sequence[BenchDocument], runs: Sequence[int]) -> BenchDocument:
    """Return a document whose process number i is process `runs[i]` of `sources[i]`."""
    rows = [_drawn_row([source.results[index] for source in sources], runs) for index in range(len(sources[0].results))]
    return sources[0].model_copy(update={"results": rows})


def _drawn_row(rows: Sequence[Row], runs: Sequence[int]) -> Row:
    found = []
    for row, run in zip(rows, runs, strict=True):
        starts = [0, *itertools.accumulate(row.processes)]
        found.append(row.samples_us[starts[run] : starts[run + 1]])
    update = {"processes": [len(each) for each in found], "samples_us": [samples for each in found for samples in each]}
    return rows[0].model_copy(update=update)


def judge(documents: Sequence[BenchDocument], *, seed: int) -> dict[str, Any]:
    """Return the shares of wrong and of correct verdicts, from the documents of two equal builds and a slower one."""
    rng = np.random.default_rng(seed)
    equal, other, slower = documents
    runs = equal.settings.processes
    verdicts: dict[str, list[str]] = {"equal": [], "slower": []}
    ratios = []
    for _ in range(COMPARISONS):
        chosen = rng.choice(runs, RUNS_OF_A_COMPARISON, replace=False).tolist()
        swapped = rng.integers(0, 2, RUNS_OF_A_COMPARISON).tolist()
        a = drawn([other if swap else equal for swap in swapped], chosen)
        b = drawn([equal if swap else other for swap in swapped], chosen)
        verdicts["equal"].append(compare(a, b)["verdict"])
        count = [None] * RUNS_OF_A_COMPARISON
        found = compare(drawn([equal for _ in count], chosen), drawn([slower for _ in count], chosen))
        verdicts["slower"].append(found["verdict"])
        ratios.append([row["ratio"] for row in found["rows"]])
    return {
        "comparisons": COMPARISONS,
        "equal_builds_differ": 1 - verdicts["equal"].count(SAME) / COMPARISONS,
        "slower_build_is_slower": verdicts["slower"].count(SLOWER) / COMPARISONS,
        "median_ratio_of_slower_build": {
            f"{row.stage} {row.name}": statistics.median(values)
            for row, values in zip(equal.results, zip(*ratios, strict=True), strict=True)
        },
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.proof.compare_noise", description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--stage", choices=STAGES, default="step")
    parser.add_argument("--runs", type=int, default=32, help="number of processes of each build (default: 32)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"rounds of each process (default: {ROUNDS})")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    sides = [Side(name, options.bundle, command_of(None)) for name in ("equal", "other")]
    sides.append(Side("slower", options.bundle, SLOWED))
    documents = measure_in_turns(sides, stage=options.stage, runs=options.runs, rounds=options.rounds)
    loads = [documents[0].environment.load_start, documents[0].environment.load_end]
    found = {"runs": options.runs, "loads": loads, **judge(documents, seed=options.seed)}
    shown = {key: value if isinstance(value, (int, float)) else str(value) for key, value in found.items()}
    emit(found if options.json else shown, as_json=options.json)
    wrong, correct = found["equal_builds_differ"], found["slower_build_is_slower"]
    return int(wrong > MOST_WRONG or correct < LEAST_FOUND)


if __name__ == "__main__":
    sys.exit(main())
