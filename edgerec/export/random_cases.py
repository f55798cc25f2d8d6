"""Random requests for the parity check, with the logits of Keras."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from edgerec.bundle.golden import GoldenCase
from edgerec.features.behaviours import BEHAVIOUR_KINDS, BehaviourKind, Limits
from edgerec.layers.encoder import Encoder
from edgerec.model.reranker import Reranker
from edgerec.rankers.ranker import BehaviourWindow, RankInputs

Array = npt.NDArray[np.float32]

SEEDS = (1, 2, 3)
STANDARD_DEVIATIONS = (1.0, 3.0)
"""Standard deviations of random inputs. Features have about the first one; the second one is much larger."""
LONG = 1000
"""Number of behaviours of each kind in the parity check of long recurrences."""


def random_cases(model: Reranker, limits: Limits, *, seed: int, std: float, hidden: bool = False) -> list[GoldenCase]:
    """Return random requests with sequences of 0, 1, 2, half and maximal length, in all combinations.

    Their inputs are normally distributed with the standard deviation `std`. Their logits are those of Keras, computed
    over whole sequences; with `hidden`, so is their hidden layer.
    """
    rng = np.random.default_rng(seed)
    lengths = [*(_lengths(limits.of(kind), 0) for kind in BEHAVIOUR_KINDS), _lengths(limits.candidates, 1)]
    cases = [
        _random_case(model, rng, dict(zip(BEHAVIOUR_KINDS, behaviours, strict=True)), candidates, std=std)
        for *behaviours, candidates in itertools.product(*lengths)
    ]
    return with_keras(model, cases, limits, hidden=hidden)


def long_case(model: Reranker, limits: Limits, *, steps: int, seed: int = 1, hidden: bool = False) -> GoldenCase:
    """Return a random request after `steps` behaviours of each kind. The ranker reads only the latest ones.

    Keras computes the logits. Its recurrences run over all behaviours in one call; its attention reads only the latest.
    """
    lengths = dict.fromkeys(BEHAVIOUR_KINDS, steps)
    case = _random_case(model, np.random.default_rng(seed), lengths, limits.candidates, std=1.0)
    (case,) = with_keras(model, [case], limits, hidden=hidden)
    return case


def _random_case(
    model: Reranker, rng: np.random.Generator, lengths: Mapping[BehaviourKind, int], candidates: int, *, std: float
) -> GoldenCase:
    """Return a random request with these numbers of behaviours and candidates, and with zeros in place of logits."""

    def random_vectors(length: int, width: int) -> Array:
        return (rng.normal(size=(length, width)) * std).astype(np.float32)

    item = model.item_embedding.width
    arrays: dict[str, Any] = {}
    matching: dict[str, Any] = {}
    if model.ranker.reads_matches:
        # The IDs have few different values, so many of them match. Some are unknown. The ages are minutes to days.
        shapes = {kind.name: (length, 1 + len(model.rows)) for kind, length in lengths.items()}
        shapes["candidate"] = (candidates, 1 + len(model.rows))
        matching = {f"{name}_ids": rng.integers(-1, 8, shape) for name, shape in shapes.items()}
        for kind, length in lengths.items():
            ages = np.sort(rng.exponential(20.0 * std, length))[::-1]
            matching[f"{kind.name}_age"] = ages.astype(np.float32)
    for kind, length in lengths.items():
        arrays[f"{kind.name}_action"] = random_vectors(length, model.action_of(kind).width)
        arrays[f"{kind.name}_item"] = random_vectors(length, item)
    vectors = random_vectors(candidates, model.settings.candidate_width)
    return GoldenCase(candidates=vectors, logits=np.zeros(candidates, np.float32), **arrays, **matching)


def _lengths(limit: int, least: int) -> list[int]:
    return sorted({length for length in (least, 1, 2, (limit + 1) // 2, limit) if least <= length <= limit})


def with_keras(model: Reranker, cases: list[GoldenCase], limits: Limits, *, hidden: bool = False) -> list[GoldenCase]:
    """Return dense requests with Keras' logits, and with its hidden layer if `hidden` is true.

    Keras computes them in one batch of right-padded sequences.

    If sequences are longer than their limit, the ranker reads their latest elements. Then all sequences of this kind
    must have the same length.
    """
    candidates, lengths = _padded([case.candidates for case in cases])
    longest = candidates.shape[1]
    inputs = RankInputs(
        candidates=candidates,
        numbers=tf.gather(candidates, tf.constant(model.settings.number_columns, tf.int32), axis=2),
        candidate_length=lengths,
        scored=tf.tile(tf.range(longest)[None, :], (len(cases), 1)),
        behaviours={kind: _window(model, kind, cases, limits, longest) for kind in model.behaviour_kinds},
    )
    if not hidden:
        rows = model.rank(inputs).numpy()
        return [replace(case, logits=row[: len(case.candidates)]) for row, case in zip(rows, cases, strict=True)]
    layers, rows = (tensor.numpy() for tensor in model.hidden_and_logits(inputs))
    return [
        replace(case, logits=row[: len(case.candidates)], hidden=layer[: len(case.candidates)])
        for layer, row, case in zip(layers, rows, cases, strict=True)
    ]


def _padded(arrays: list[Array]) -> tuple[Any, Any]:
    """Return the sequences, padded on the right with zeros to at least two steps, and their lengths."""
    dense = np.zeros((len(arrays), max(2, *(len(a) for a in arrays)), arrays[0].shape[1]), np.float32)
    for row, array in zip(dense, arrays, strict=True):
        row[: len(array)] = array
    return tf.constant(dense), tf.constant([len(array) for array in arrays], tf.int32)


def _window(
    model: Reranker, kind: BehaviourKind, cases: list[GoldenCase], limits: Limits, candidates: int
) -> BehaviourWindow:
    action, lengths = _padded([case.of(kind).action for case in cases])
    item, _ = _padded([case.of(kind).item for case in cases])
    steps, limit = action.shape[1], limits.of(kind)
    window = limit if int(tf.reduce_max(lengths)) > limit else steps
    encoder = _traced(model.encoder_of(kind), action.shape[2], item.shape[2])
    fused = encoder(action, item)[:, -window:]
    matches = _matches(cases, kind, candidates, window) if model.ranker.reads_matches else (None, None)
    return BehaviourWindow(fused, tf.minimum(lengths, window), *matches)


@functools.lru_cache(maxsize=len(BEHAVIOUR_KINDS))
def _traced(encoder: Encoder, action_width: int, item_width: int) -> Any:
    """Return the encoder as a function that is traced once for all lengths.

    Without tracing, Keras takes half a minute for a thousand steps.
    """
    signature = [tf.TensorSpec((None, None, width), tf.float32) for width in (action_width, item_width)]
    return tf.function(encoder, input_signature=signature)


def _matches(cases: list[GoldenCase], kind: BehaviourKind, candidates: int, steps: int) -> tuple[Any, Any]:
    """Return the matches and the ages of one kind of behaviour.

    This code does not use the device's function, so the parity check tests that function, too.

    Returns:
        Matches (batch, identities, candidates, time), and ages (batch, time).
    """
    identities = cases[0].candidate_ids.shape[1]  # type: ignore[union-attr]
    match = np.zeros((len(cases), identities, candidates, steps), np.float32)
    age = np.zeros((len(cases), steps), np.float32)
    for row, case in enumerate(cases):
        _, _, ids, ages = case.of(kind)
        ids, ages = ids[-steps:], ages[-steps:]  # type: ignore[index]
        age[row, : len(ages)] = ages
        for candidate, candidate_ids in enumerate(case.candidate_ids):  # type: ignore[arg-type]
            match[row, :, candidate, : len(ids)] = ((ids == candidate_ids) & (ids >= 0)).T
    return tf.constant(match), tf.constant(age)
