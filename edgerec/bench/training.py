"""`edgerec bench train`: compare training steps with those of plain Keras, and measure large embedding tables."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from edgerec.bench.environment import environment
from edgerec.bench.measure import Durations, ratios, take_turns
from edgerec.bench.plain_keras import plain_inputs, plain_model
from edgerec.bench.rows import row_of
from edgerec.core.atomic import check_document, write_json
from edgerec.core.console import log
from edgerec.core.errors import InputError
from edgerec.data.samples import TRAIN, Samples, Shard
from edgerec.features.behaviours import BEHAVIOUR_KINDS
from edgerec.layers.kernels.form import kernels_here
from edgerec.model.batches import Batch, Shapes, make_batch
from edgerec.model.config import ResolvedConfig, TrainConfig
from edgerec.model.defaults import resolve
from edgerec.model.input_pipeline import groups, one_per_page_of, shard_batches
from edgerec.model.optimizer import RowAdam, table_paths
from edgerec.model.reranker import Reranker
from edgerec.model.runs import model_for
from edgerec.model.train_step import train_step
from edgerec.model.workers import Workers

OURS, PLAIN, UNSORTED = "edgerec", "keras", "keras_unsorted"
DICTIONARIES = {"15k": 15_000, "1.5m": 1_500_000}
"""Number of keys of the largest embedding table, by the ending of the stage's name."""


def run_training_bench(
    samples: Samples,
    config: TrainConfig,
    *,
    batches: int = 12,
    rounds: int = 5,
    out: Path | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Measure the training of `crban` on this machine.

    All batches are in memory. `edgerec` and `keras` use the same requests, drawn as in a training. `keras_unsorted`
    uses random requests, as a plain Keras pipeline does. The plain model gets a copy of the behaviours of each request,
    padded to the longest sequence of the batch. First, both models are trained from the same weights on the same
    batches. The document has the difference of their losses, because speeds can only be compared if both models compute
    the same function.

    Args:
        samples: the source of the requests.
        config: only `batch_size`, `units`, `layers`, `together`, `one_per_page` and the settings of the optimizer are
            used.
        batches: number of different batches. Each round makes one training step with each of them.
        rounds: number of rounds. Each round measures all implementations, one after the other.
        out: also write the document to this file.
        force: replace `out` if it exists.

    Returns:
        A document with `environment`, `results` (a row for each implementation and stage, with all durations),
        `requests_per_second` by name, `ratios`, and the losses of both models.

    Raises:
        InputError: a number is below 1, or there are too few requests.
    """
    if batches < 1 or rounds < 1:
        raise InputError(f"bench: --batches and --rounds should be at least 1; received {batches} and {rounds}")
    if out is not None:
        check_document(out, force=force, inputs=[samples.path])
    # The plain model does not replace IDs by the unknown ID and does not average weights, so switch both off.
    config = resolve(config.model_copy(update={"unknown_rate": 0.0, "average": 0.0}), samples)
    shard, batch_rows = _draw_batches(samples, config, batches)
    results, compared = [], []

    model, step = _model_and_step(samples, config, {})
    plain = plain_model(model, learning_rate=config.learning_rate, clip_norm=config.clip_norm)
    shapes = Shapes(config.batch_size, samples.head.limits)
    ours = [make_batch(shard, rows, shapes=shapes) for rows in batch_rows]
    plain_batches = [plain_inputs(make_batch(shard, rows)) for rows in batch_rows]
    losses = {
        OURS: [float(step(batch.inputs, batch.label, batch.weight)[0]) for batch in ours],
        PLAIN: [float(plain.train_on_batch(*batch)) for batch in plain_batches],
    }
    rng = np.random.default_rng(config.seed)
    random_rows = rng.permutation(len(shard.requests))[: batches * config.batch_size].reshape(batches, -1)
    unsorted = [plain_inputs(make_batch(shard, rows)) for rows in random_rows]
    log("both models were trained once on all batches; now they are measured in turns")
    implementations: dict[str, Callable[[], Any]] = {
        OURS: _cycle(ours, _loss_of(step)),
        PLAIN: _cycle(plain_batches, lambda batch: plain.train_on_batch(*batch)),
        UNSORTED: _cycle(unsorted, lambda batch: plain.train_on_batch(*batch)),
    }
    measured = take_turns(implementations, rounds=rounds, calls=batches, warmup=batches)
    results += [row_of([found], name=name, stage="train_step").model_dump() for name, found in measured.items()]
    for peer in (PLAIN, UNSORTED):
        compared.append({"stage": "train_step", "of": OURS, "to": peer, **_ratios(measured[OURS], measured[peer])})
    speeds = {name: batches * config.batch_size / _round_seconds(found) for name, found in measured.items()}

    tables = _dictionaries(samples, config, ours)
    if tables:
        measured = take_turns(tables, rounds=rounds, calls=batches, warmup=batches)
        results += [
            row_of([found], name=OURS, stage=f"train_step_{name}").model_dump() for name, found in measured.items()
        ]
        large, small = measured["1.5m"], measured["15k"]
        compared.append({"stage": "train_step_1.5m", "of": "1.5m", "to": "15k", **_ratios(large, small)})
    document = {
        "environment": environment(),
        "batch_size": config.batch_size,
        "results": results,
        "requests_per_second": speeds,
        "ratios": compared,
        "losses": losses,
        "loss_difference": float(np.abs(np.subtract(losses[OURS], losses[PLAIN])).max()),
    }
    if out is not None:
        write_json(out, document)
    return document


def _draw_batches(samples: Samples, config: ResolvedConfig, batches: int) -> tuple[Shard, list[NDArray[np.int64]]]:
    """Draw full batches, as an epoch of a training does. Return their shard and the rows of each batch."""
    shard = next(groups(samples, TRAIN))
    rng = np.random.default_rng(config.seed)
    rows = one_per_page_of(shard.requests, rng) if config.one_per_page else None
    batches_of_epoch = shard_batches(
        shard.requests, rows, batch_size=config.batch_size, rng=rng, together=config.together
    )
    full = [rows for rows in batches_of_epoch if len(rows) == config.batch_size][:batches]
    if len(full) < batches:
        raise InputError(
            f"bench: the measurement needs {batches} full batches of {config.batch_size} training requests, but the "
            f"samples give only {len(full)} from {len(shard.requests)} requests: lower --batches or --batch-size"
        )
    return shard, full


def _model_and_step(
    samples: Samples, config: ResolvedConfig, rows: dict[str, int]
) -> tuple[Reranker, Callable[..., Any]]:
    """Return a new model and its training step. `rows` replaces the number of rows of some embedding tables."""
    keras.utils.set_random_seed(config.seed)
    model = model_for(samples, config)
    if rows:
        model = Reranker.from_config({**model.get_config(), "rows": {**model.rows, **rows}})
        model.build()
    optimizer = RowAdam(model.trainable_variables, tables=table_paths(model), clip_norm=config.clip_norm)
    optimizer.learning_rate.assign(config.learning_rate)
    return model, train_step(model, optimizer, 0.0, Workers(), kernels_here(xla=True))


def _dictionaries(samples: Samples, config: ResolvedConfig, batches: list[Batch]) -> dict[str, Callable[[], Any]]:
    """Return one function for each size in `DICTIONARIES`. It runs training steps with a largest table of that size.

    In the batches, the IDs of that table are drawn uniformly.
    """
    embeddings = samples.head.spec.embeddings
    if not embeddings:
        return {}
    column = max(range(len(embeddings)), key=lambda index: embeddings[index].vocabulary)
    found: dict[str, Callable[[], Any]] = {}
    for name, size in DICTIONARIES.items():
        _, step = _model_and_step(samples, config, {embeddings[column].name: size + 1})
        rng = np.random.default_rng(0)
        random_batches = [_with_random_ids(batch, column, size, rng) for batch in batches]
        found[name] = _cycle(random_batches, _loss_of(step))
    return found


def _loss_of(step: Callable[..., Any]) -> Callable[[Batch], float]:
    return lambda batch: float(step(batch.inputs, batch.label, batch.weight)[0])


def _with_random_ids(batch: Batch, column: int, size: int, rng: np.random.Generator) -> Batch:
    def redraw(group: dict[str, Any]) -> dict[str, Any]:
        ids = group["ids"].copy()
        ids[..., column] = rng.integers(1, size + 1, ids.shape[:-1])
        return {**group, "ids": ids}

    inputs = {**batch.inputs, "candidates": redraw(batch.inputs["candidates"])}
    for kind in BEHAVIOUR_KINDS:
        behaviours = inputs[kind.plural]
        inputs[kind.plural] = {**behaviours, "item": redraw(behaviours["item"])}
    return replace(batch, inputs=inputs)


def _cycle(batches: list[Any], step: Callable[[Any], Any]) -> Callable[[], Any]:
    """Return a function that runs `step` on the next batch. After the last batch it starts again with the first."""
    index = -1

    def call() -> Any:
        nonlocal index
        index = (index + 1) % len(batches)
        return step(batches[index])

    return call


def _round_seconds(measured: Durations) -> float:
    """Return the median duration of a round in seconds. Durations of batches differ, so only whole rounds compare."""
    return statistics.median(sum(samples) for samples in measured.rounds) / 1e6


def _ratios(first: Durations, second: Durations) -> dict[str, float]:
    """Divide the durations of `first` by those of `second`, round by round.

    `median`, `min` and `max` are of the ratios of whole rounds. `p50` is the median ratio of the medians of rounds.
    """
    values = [
        sum(first_round) / sum(second_round)
        for first_round, second_round in zip(first.rounds, second.rounds, strict=True)
    ]
    medians = ratios(first, second)
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "p50": medians["median"]}
