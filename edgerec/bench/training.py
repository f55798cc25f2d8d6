"""`edgerec bench train`: steps of the training beside a plain Keras model, and what large dictionaries cost."""

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
from edgerec.bench.measure import Measured, ratios, take_turns
from edgerec.bench.plain_keras import plain_inputs, plain_model
from edgerec.core.atomic import check_document, write_json
from edgerec.core.console import log
from edgerec.core.errors import InputError
from edgerec.data.samples import TRAIN, Samples, Shard
from edgerec.model.batches import Batch, Shapes, groups, make_batch, one_per_page_of, shard_batches
from edgerec.model.config import TrainConfig
from edgerec.model.evaluation import accelerate
from edgerec.model.optimizer import RowAdam, table_paths
from edgerec.model.reranker import Reranker
from edgerec.model.runs import model_for
from edgerec.model.training import train_step
from edgerec.model.workers import Workers

OURS, PLAIN, UNSORTED = "edgerec", "keras", "keras_unsorted"
DICTIONARIES = {"15k": 15_000, "1.5m": 1_500_000}
"""Brands, by name of the stage."""


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

    Contestants take steps with data in memory: `edgerec` and `keras` on the same requests, drawn as a training draws
    them, `keras_unsorted` on requests drawn at random, as a plain Keras pipeline has them. The plain model gets each
    request with its own behaviours, padded to the longest of the batch. First both are trained from the same weights,
    and their losses held together: where functions differ, speeds mean nothing.

    Args:
        samples: where requests come from.
        config: `batch_size`, `units`, `layers`, `together`, `one_per_page`.
        batches: different ones, each a step in every round.
        rounds: contestants take turns in each.
        out: also write the document to this file.
        force: replace `out` where it exists.

    Returns:
        `environment`, `results` (a row a contestant and stage, raw samples included), `requests_per_second` by name,
        `ratios`, and the losses of both.

    Raises:
        InputError: numbers below 1, or samples of fewer requests than a batch.
    """
    if batches < 1 or rounds < 1:
        raise InputError(f"bench: --batches and --rounds should be at least 1; received {batches} and {rounds}")
    if out is not None:
        check_document(out, force=force, inputs=[samples.path])
    # The plain model hides no identities, which would be drawn at random.
    config = config.model_copy(update={"unknown_rate": 0.0, "average": 0.0})
    shard, chosen = _chosen(samples, config, batches)
    results, compared = [], []

    model, step = _trainable(samples, config, {})
    plain = plain_model(model, learning_rate=config.learning_rate, clip_norm=config.clip_norm)
    shapes = Shapes(config.batch_size, samples.head.limits)
    ours = [make_batch(shard, rows, shapes=shapes) for rows in chosen]
    theirs = [plain_inputs(make_batch(shard, rows)) for rows in chosen]
    losses = {
        OURS: [float(step(batch.inputs, batch.label, batch.weight)[0]) for batch in ours],
        PLAIN: [float(plain.train_on_batch(*batch)) for batch in theirs],
    }
    rng = np.random.default_rng(config.seed)
    mixed = rng.permutation(len(shard.requests))[: batches * config.batch_size].reshape(batches, -1)
    unsorted = [plain_inputs(make_batch(shard, rows)) for rows in mixed]
    log("both trained once over the batches; now in turns")
    contestants: dict[str, Callable[[], Any]] = {
        OURS: _cycle(ours, _taking(step)),
        PLAIN: _cycle(theirs, lambda batch: plain.train_on_batch(*batch)),
        UNSORTED: _cycle(unsorted, lambda batch: plain.train_on_batch(*batch)),
    }
    measured = take_turns(contestants, rounds=rounds, calls=batches, warmup=batches)
    results += [found.row(name=name, stage="train_step") for name, found in measured.items()]
    for peer in (PLAIN, UNSORTED):
        compared.append({"stage": "train_step", "of": OURS, "to": peer, **_ratios(measured[OURS], measured[peer])})
    speeds = {name: batches * config.batch_size / _round_seconds(found) for name, found in measured.items()}

    tables = _dictionaries(samples, config, ours)
    if tables:
        measured = take_turns(tables, rounds=rounds, calls=batches, warmup=batches)
        results += [found.row(name=OURS, stage=f"train_step_{name}") for name, found in measured.items()]
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


def _chosen(samples: Samples, config: TrainConfig, batches: int) -> tuple[Shard, list[NDArray[np.int64]]]:
    """Full batches, as an epoch draws them."""
    shard = next(groups(samples, TRAIN))
    rng = np.random.default_rng(config.seed)
    rows = one_per_page_of(shard.requests, rng) if config.one_per_page else None
    drawn = shard_batches(shard.requests, rows, batch_size=config.batch_size, rng=rng, together=config.together)
    full = [rows for rows in drawn if len(rows) == config.batch_size][:batches]
    if len(full) < batches:
        raise InputError(
            f"bench: the first samples have {len(shard.requests)} training requests, fewer than {batches} batches of "
            f"{config.batch_size}: lower --batches or --batch-size"
        )
    return shard, full


def _trainable(samples: Samples, config: TrainConfig, rows: dict[str, int]) -> tuple[Reranker, Callable[..., Any]]:
    """A fresh model, with `rows` of some tables in place of the samples' own, and its training step."""
    keras.utils.set_random_seed(config.seed)
    model = model_for(samples, config)
    if rows:
        model = Reranker.from_config({**model.get_config(), "rows": {**model.rows, **rows}})
        model.build()
    accelerate(model)
    optimizer = RowAdam(model.trainable_variables, tables=table_paths(model), clip_norm=config.clip_norm)
    optimizer.learning_rate.assign(config.learning_rate)
    return model, train_step(model, optimizer, 0.0, Workers())


def _dictionaries(samples: Samples, config: TrainConfig, batches: list[Batch]) -> dict[str, Callable[[], Any]]:
    """Steps with dictionaries of different sizes, of which every behaviour and candidate draws an identity."""
    embeddings = samples.head.spec.embeddings
    if not embeddings:
        return {}
    place = max(range(len(embeddings)), key=lambda at: embeddings[at].vocabulary)
    found: dict[str, Callable[[], Any]] = {}
    for name, size in DICTIONARIES.items():
        _, step = _trainable(samples, config, {embeddings[place].name: size + 1})
        rng = np.random.default_rng(0)
        drawn = [_with_identities(batch, place, size, rng) for batch in batches]
        found[name] = _cycle(drawn, _taking(step))
    return found


def _taking(step: Callable[..., Any]) -> Callable[[Batch], float]:
    return lambda batch: float(step(batch.inputs, batch.label, batch.weight)[0])


def _with_identities(batch: Batch, place: int, size: int, rng: np.random.Generator) -> Batch:
    def drawn(group: dict[str, Any]) -> dict[str, Any]:
        ids = group["ids"].copy()
        ids[..., place] = rng.integers(1, size + 1, ids.shape[:-1])
        return {**group, "ids": ids}

    inputs = {**batch.inputs, "candidates": drawn(batch.inputs["candidates"])}
    for kind in ("exposures", "page_views"):
        inputs[kind] = {**inputs[kind], "item": drawn(inputs[kind]["item"])}
    return replace(batch, inputs=inputs)


def _cycle(batches: list[Any], step: Callable[[Any], Any]) -> Callable[[], Any]:
    """Each call takes the next of `batches`."""
    at = -1

    def call() -> Any:
        nonlocal at
        at = (at + 1) % len(batches)
        return step(batches[at])

    return call


def _round_seconds(measured: Measured) -> float:
    """The median round's sum: batches are of different lengths, and each stands once in a round."""
    return statistics.median(sum(samples) for samples in measured.rounds) / 1e6


def _ratios(one: Measured, other: Measured) -> dict[str, float]:
    """Of sums of rounds: `median`, `min`, `max`; and of medians, as everywhere else, `p50`."""
    values = [sum(mine) / sum(theirs) for mine, theirs in zip(one.rounds, other.rounds, strict=True)]
    medians = ratios(one, other)
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "p50": medians["median"]}
