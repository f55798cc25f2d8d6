"""`edgerec loop`: each round tests a model in an A/B test, and the logs of its devices train the next model."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgerec import __version__
from edgerec.core.atomic import write_bytes, write_json
from edgerec.core.console import stage
from edgerec.core.documents import read_object
from edgerec.core.errors import ConfigurationError
from edgerec.core.parallel import cores
from edgerec.core.resumable import JOB, ResumableFolder, resumable_folder, work_path
from edgerec.data.build_samples import write_samples
from edgerec.data.samples import open_samples
from edgerec.data.schema import MAX_TIME_MS
from edgerec.export.bundle import export_bundle
from edgerec.model.config import TrainConfig
from edgerec.model.run_head import read_run_head
from edgerec.model.training import train
from edgerec.simulation.ab_test.run import HEAD as AB_TEST
from edgerec.simulation.ab_test.run import KIND as AB_TEST_KIND
from edgerec.simulation.ab_test.run import LEAST_USERS, run_ab_test
from edgerec.simulation.closed_loop.blocks import LOGS
from edgerec.simulation.closed_loop.bucket import CONTROL, Bucket
from edgerec.simulation.closed_loop.loop_world import LoopWorld
from edgerec.simulation.loop.document import FIRST, LATEST, SIMULATED, model_document, round_document
from edgerec.simulation.population import simulate

KIND = "loop"
HEAD, PAGE, TABLE = "loop.json", "loop.html", "loop.md"
BEGUN = "begun"
FURTHER = TrainConfig(learning_rate=0.001, epochs=2, decay_epochs=2)
"""How a model is trained further on the logs of one round. A fifth of the default learning rate: the first steps should
not move far from the old weights."""


@dataclass(frozen=True)
class LoopSettings:
    """What a loop does.

    Attributes:
        rounds: number of rounds. Each has a model of its own.
        users: number of users in each bucket of a round.
        further: how models are trained further.
        servers: whether devices talk to server processes over HTTP.
        processes: number of processes that simulate.
    """

    rounds: int = 3
    users: int = 2000
    further: TrainConfig = FURTHER
    servers: bool = False
    processes: int | None = None

    def __post_init__(self) -> None:
        if self.rounds < 1:
            raise ConfigurationError(f"loop: rounds should be at least 1; received {self.rounds}")
        if self.users < LEAST_USERS:
            raise ConfigurationError(f"loop: users should be at least {LEAST_USERS}; received {self.users}")


def run_loop(
    world: LoopWorld,
    path: Path,
    settings: LoopSettings,
    *,
    run: Path | None = None,
    config: TrainConfig | None = None,
    force: bool = False,
    resume: bool = False,
) -> dict[str, Any]:
    """Run all rounds and write the folder `path`: JSON, Markdown, a page, and what each round made.

    Round n takes place in the n-th period of the world (`days` each), after the period of the first logs. Its users are
    new. All of them are in the buckets of the control, of the newest model, and of the first round's model. The logs of
    the newest model's devices train the model of the next round.

    Args:
        world: the world. Its first period has the logs that train the first model.
        path: the folder to write.
        settings: rounds, users, training.
        run: a run that was trained on the logs of this world; default: one is trained on simulated logs.
        config: settings of that first training.
        force: replace `path`.
        resume: continue after the last finished step.

    Raises:
        ConfigurationError: a setting is not valid.
        OutputError, FormatError: see `resumable_folder`.
        EdgeRecError: a step failed.
    """
    started = time.perf_counter()
    stated = {
        "rounds": settings.rounds,
        "users": settings.users,
        "world": {"seed": world.seed, "first_day": world.first_day, "config": world.config.document()},
    }
    job = {
        "version": __version__,
        **stated,
        "servers": settings.servers,
        "further": settings.further.model_dump(mode="json"),
        "config": None if config is None else config.model_dump(mode="json"),
        "start": None if run is None else read_run_head(run)[0].version_id,
    }
    inputs = [] if run is None else [run]
    with resumable_folder(path, kind=KIND, job=job, force=force, resume=resume, inputs=inputs) as work:
        work.finish(BEGUN, {})
        steps = _Steps(world, settings, work, path, run)
        model = steps.start(config)
        rounds = []
        for number in range(1, settings.rounds + 1):
            tested = steps.test(number)
            following = steps.train_next(number) if number < settings.rounds else None
            rounds.append(round_document(number, model, tested, world))
            model = following or model
        document = {**stated, "rounds": rounds, "seconds": time.perf_counter() - started}
        write_json(work.path / HEAD, {"schema": 1, "format": 1, "kind": KIND, **document})
        from edgerec.reports.loop.markdown import markdown
        from edgerec.reports.loop.page import page

        write_bytes(work.path / TABLE, markdown(document).encode())
        write_bytes(work.path / PAGE, page(document).encode())
    return document


@dataclass(frozen=True)
class _Steps:
    """The steps of a loop. A step whose output exists is not done again, because outputs are written atomically."""

    world: LoopWorld
    settings: LoopSettings
    work: ResumableFolder
    final: Path
    first_run: Path | None

    def start(self, config: TrainConfig | None) -> dict[str, Any]:
        """Make the bundle of the first round. Return what is known of its model."""
        folder, used = self._folder(1), self._run(1)
        made = None if self.first_run is not None else folder / "samples"
        if made is not None and not used.exists():
            logs = folder / LOGS
            self._once(logs, "simulate", lambda: simulate(self.world.config, logs, seed=self.world.seed))
            self._once(made, "samples", lambda: write_samples(logs, made, logs_path=self._final(logs)))
            with stage("train the first model"):
                train(open_samples(made), config or TrainConfig(), used, samples_path=self._final(made), force=True)
        bundle = folder / "bundle"
        self._once(bundle, "export", lambda: export_bundle(used, bundle, samples_path=made))
        return model_document(used, made, trained_on=None if made is None else SIMULATED)

    def test(self, number: int) -> dict[str, Any]:
        """Run the A/B test of a round. Return its document."""
        config = self.world.config
        out = self._folder(number) / "ab_test"
        names = [LATEST] if number == 1 else [FIRST, LATEST]
        folders = {FIRST: self._folder(1), LATEST: self._folder(number)}
        buckets = [Bucket(CONTROL), *(Bucket(name, folders[name] / "bundle") for name in names)]

        def play() -> None:
            run_ab_test(
                replace(self.world, first_day=self.world.first_day + number * config.days),
                buckets,
                out,
                users=self.settings.users,
                logs=True,
                servers=self.settings.servers,
                processes=self.settings.processes or cores(),
                first_user=config.users + 1 + (number - 1) * self.settings.users,
                # An interrupted test is resumed, but not with servers: they have logs of unfinished blocks.
                force=True,
                resume=not self.settings.servers and (work_path(out, AB_TEST_KIND) / JOB).exists(),
            )

        self._once(out, f"round {number}: A/B test", play)
        return read_object(out / AB_TEST) or {}

    def train_next(self, number: int) -> dict[str, Any]:
        """Train the model of the next round on the logs of the newest model's devices. Return what is known of it."""
        folder, following = self._folder(number), self._folder(number + 1)
        old, new, made = self._run(number), following / "run", folder / "samples"
        logs = folder / "ab_test" / LOGS / LATEST
        # All requests are for training and validation: the A/B test of the next round is the test.
        never = MAX_TIME_MS - 1
        self._once(
            made,
            f"round {number}: samples",
            lambda: write_samples(
                logs, made, like=old, test_from=never, validation_fraction=0.1, logs_path=self._final(logs)
            ),
        )
        self._once(
            new,
            f"round {number + 1}: train",
            lambda: train(
                open_samples(made), self.settings.further, new, from_run=old, samples_path=self._final(made), force=True
            ),
        )
        bundle = following / "bundle"
        self._once(bundle, f"round {number + 1}: export", lambda: export_bundle(new, bundle, samples_path=made))
        return model_document(new, made, trained_on=f"{LATEST} of round {number}")

    def _run(self, number: int) -> Path:
        """Return the folder of the run of a round's model."""
        return self.first_run if number == 1 and self.first_run is not None else self._folder(number) / "run"

    def _folder(self, number: int) -> Path:
        folder = self.work.path / f"round-{number}"
        folder.mkdir(exist_ok=True)
        return folder

    def _final(self, path: Path) -> Path:
        """Return the path that a step's output has when the loop is complete."""
        return self.final.resolve() / path.relative_to(self.work.path)

    @staticmethod
    def _once(out: Path, what: str, make: Callable[[], object]) -> None:
        if not out.exists():
            with stage(what):
                make()
