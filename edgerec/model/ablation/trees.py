"""A baseline of gradient-boosted trees: LightGBM's lambdarank on the inputs of `crban_plus`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from edgerec.core.console import log, progress
from edgerec.data.samples import TRAIN, VALIDATION, Samples
from edgerec.features.behaviours import BEHAVIOUR_KINDS
from edgerec.layers.list_context import ListNormalisation, at_positions
from edgerec.model.ablation.cells import Cell
from edgerec.model.ablation.config import TREES
from edgerec.model.batches import Batch
from edgerec.model.evaluation import EVALUATION_BATCH
from edgerec.model.input_pipeline import ahead, epoch
from edgerec.model.reranker import matches_of, numbers_of
from edgerec.model.tally import Scored, Tally
from edgerec.rankers.crban_plus import all_match_signals

ROUNDS, PATIENCE = 1000, 50
SETTINGS: dict[str, Any] = {
    "objective": "lambdarank",
    "metric": "ndcg",
    "eval_at": [10],
    "learning_rate": 0.05,
    "num_leaves": 31,
    "min_data_in_leaf": 50,
    "feature_fraction": 0.5,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "verbose": -1,
    "deterministic": True,
}


def tree_cell(samples: Samples, *, seed: int, split: str) -> Cell:
    """Train trees until the NDCG of the validation split stops rising, and evaluate them."""
    import lightgbm

    start = time.perf_counter()
    sets: dict[str, Any] = {}
    for name in (TRAIN, VALIDATION):
        table, label, group = _table(samples, name)
        reference = sets.get(TRAIN)
        sets[name] = lightgbm.Dataset(table, label, group=np.unique(group, return_counts=True)[1], reference=reference)
    booster = lightgbm.train(
        {**SETTINGS, "seed": seed},
        sets[TRAIN],
        ROUNDS,
        valid_sets=[sets[VALIDATION]],
        callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)],
    )
    seconds = time.perf_counter() - start
    tally = Tally()
    for columns, scored in _rows(samples, split, f"{TREES}, seed {seed}: evaluate"):
        tally.add(Scored(**{**vars(scored), "logit": np.asarray(booster.predict(columns), np.float64)}))
    figures = tally.figures(seed=seed)
    log(f"{TREES}, seed {seed}: {booster.best_iteration} trees, {seconds:.0f} s")
    # The scores of lambdarank are not log-odds, so these figures have no meaning.
    figures |= {"logloss": None, "calibration_error": None}
    leaves = booster.best_iteration * SETTINGS["num_leaves"]
    return Cell(TREES, seed, leaves, seconds, figures, tally.user_sums())


def _table(samples: Samples, split: str) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.int64]]:
    rows = list(_rows(samples, split, f"{TREES}: {split}"))
    group = np.concatenate([scored.group for _, scored in rows])
    order = np.argsort(group, kind="stable")
    label = np.concatenate([scored.label for _, scored in rows])
    return np.concatenate([columns for columns, _ in rows])[order], label[order], group[order]


def _rows(samples: Samples, split: str, what: str) -> Iterator[tuple[NDArray[np.float32], Scored]]:
    """Yield, for each batch, the inputs (n, columns) of the exposed candidates, and a `Scored` with logits of 0."""
    total = -(-samples.head.splits[split].requests // EVALUATION_BATCH)
    batches = ahead(epoch(samples, split, batch_size=EVALUATION_BATCH, together=EVALUATION_BATCH))
    for batch in progress(batches, what=what, total=total):
        seen = batch.weight > 0
        row = seen.nonzero()[0]
        known = {kind.plural: batch.inputs[kind.plural]["length"][row].astype(np.int64) for kind in BEHAVIOUR_KINDS}
        yield (
            _columns(batch)[seen],
            Scored(
                group=batch.rows[row],
                label=batch.label[seen].astype(np.uint8),
                logit=np.zeros(len(row)),
                position=batch.inputs["scored"][seen].astype(np.int64),
                user=batch.users[row],
                **known,
            ),
        )


def _columns(batch: Batch) -> NDArray[np.float32]:
    """Return the inputs of the scored candidates of a batch. Shape (batch, s, columns).

    The columns are the codes, the numbers and match signals, the same normalised within the list, the same as ranks
    within the list, the lengths of the list and of the behaviours, and the context.
    """
    inputs = tf.nest.map_structure(tf.convert_to_tensor, batch.inputs)
    matches = {kind.plural: (matches_of(inputs, kind), inputs[kind.plural]["age"]) for kind in BEHAVIOUR_KINDS}
    signals = all_match_signals(matches, {kind.plural: inputs[kind.plural]["length"] for kind in BEHAVIOUR_KINDS})
    candidates, length = inputs["candidates"], inputs["candidate_length"]
    numbers = tf.concat([numbers_of(inputs), signals], axis=-1)
    lengths = [length, *(inputs[kind.plural]["length"] for kind in BEHAVIOUR_KINDS)]
    context = [tf.cast(inputs["context"][field], tf.float32) for field in ("codes", "numbers")]
    constant = tf.concat([tf.cast(tf.stack(lengths, axis=-1), tf.float32), *context], axis=-1)[:, None, :]
    parts = [
        tf.cast(candidates["codes"], tf.float32),
        tf.cast(inputs["relations"]["codes"], tf.float32),
        numbers,
        ListNormalisation()(numbers, length),
        _ranks(numbers, length),
        tf.repeat(constant, tf.shape(numbers)[1], axis=1),
    ]
    columns: NDArray[np.float32] = at_positions(tf.concat(parts, axis=-1), inputs["scored"]).numpy()
    return columns


def _ranks(numbers: Any, length: Any) -> Any:
    """Return, for each number, the share of the other candidates in the list that have a smaller number.

    A tie counts one half. Shape (batch, k, numbers).
    """
    valid = tf.cast(tf.range(tf.shape(numbers)[1])[None, :] < length[:, None], tf.float32)
    difference = numbers[:, :, None, :] - numbers[:, None, :, :]
    above = (tf.sign(difference) + 1) / 2 * valid[:, None, :, None]
    count = tf.cast(length, tf.float32)[:, None, None]
    return (tf.reduce_sum(above, axis=2) - 0.5) / tf.maximum(count - 1, 1)
