"""Evaluation of a model: GAUC (eq. 12) with its confidence interval, AUC, NDCG, log loss, and the baselines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from edgerec.core.arguments import check_choice, check_mapping, check_object, check_whole
from edgerec.core.console import progress
from edgerec.data.samples import SPLITS, TEST, Samples
from edgerec.features.behaviours import BEHAVIOUR_KINDS
from edgerec.layers.kernels.form import Kernels, kernels_here
from edgerec.model.baselines import baselines_document
from edgerec.model.input_pipeline import ahead, epoch
from edgerec.model.plugin_layers import graphs_of
from edgerec.model.reranker import Reranker
from edgerec.model.run_head import check_samples
from edgerec.model.runs import Run
from edgerec.model.tally import Scored, Tally

EVALUATION_BATCH = 512


def scorer(model: Reranker) -> Callable[[Mapping[str, Any]], Any]:
    """Return the model as a traced function of its inputs that is fast on this machine.

    XLA does not compile it, because it would compile each shape of batch. That takes longer than it saves in scoring.
    """
    return traced(model, kernels_here(xla=False))


def scorer_in_list(model: Reranker) -> Callable[[Mapping[str, Any]], Any]:
    """Return a function of the model's inputs as `scorer` does. Its logits are those of `Reranker.in_list`."""
    return traced_in_list(model, kernels_here(xla=False))


def traced(model: Reranker, kernels: Kernels = "keras") -> Callable[[Mapping[str, Any]], Any]:
    """Return the model as a traced function of its inputs. All lengths of lists share one trace.

    `kernels` compute recurrences and attention. By default Keras computes them, so the export compares with Keras.
    """
    return _traced(model, lambda inputs: model(inputs, training=False), kernels)


def traced_in_list(model: Reranker, kernels: Kernels = "keras") -> Callable[[Mapping[str, Any]], Any]:
    """Return `Reranker.in_list` as a traced function, see `traced`."""
    return _traced(model, model.in_list, kernels)


def _traced(
    model: Reranker, function: Callable[[Mapping[str, Any]], Any], kernels: Kernels
) -> Callable[[Mapping[str, Any]], Any]:
    # The training step is traced without AutoGraph, too. AutoGraph would change the errors of a ranker.
    @tf.function(input_signature=[model.input_signature()], autograph=False)  # type: ignore[untyped-decorator]
    def score(inputs: Mapping[str, Any]) -> Any:
        with model.computed_by(kernels):
            return function(inputs)

    return score  # type: ignore[no-any-return]


def scored_batches(
    function: Callable[[Mapping[str, Any]], Any],
    samples: Samples,
    split: str,
    *,
    what: str = "evaluate",
    part: tuple[int, int] = (0, 1),
) -> Iterator[Scored]:
    """Yield the exposed candidates of a split and their logits, batch by batch. `part` is as in `epoch`."""
    total = -(-samples.head.splits[split].requests // EVALUATION_BATCH)
    batches = ahead(epoch(samples, split, batch_size=EVALUATION_BATCH, together=EVALUATION_BATCH, part=part))
    for batch in progress(batches, what=what, total=total):
        logits = function(batch.inputs).numpy()
        seen = batch.weight > 0
        row = seen.nonzero()[0]
        yield Scored(
            group=batch.rows[row],
            label=batch.label[seen].astype(np.uint8),
            logit=logits[seen].astype(np.float64),
            position=batch.inputs["scored"][seen].astype(np.int64),
            user=batch.users[row],
            **{kind.plural: batch.inputs[kind.plural]["length"][row].astype(np.int64) for kind in BEHAVIOUR_KINDS},
        )


def evaluate(
    run: Run, samples: Samples, *, split: str = TEST, oracle: Mapping[str, float] | None = None, seed: int = 1
) -> dict[str, Any]:
    """Return the document of `edgerec evaluate`: metrics of the model on a split, and GAUC of the baselines.

    Args:
        run: the trained model.
        samples: the samples that it ranks.
        split: the split of the samples.
        oracle: GAUC of further rankers by name, which are added to the baselines.
        seed: seed of the baseline `random` and of the bootstrap.

    Raises:
        SpecificationError: the samples have other features, vocabularies or limits than the run.
        InputError: `run` or `samples` is of another class, there is no such split, or no request of the split has a
            clicked and an unclicked exposure.
        FormatError: a shard is missing or damaged.
        PluginError: a layer of another package fails.
    """
    check_object(run, Run, "evaluate: `run`", source="load_run")
    check_object(samples, Samples, "evaluate: `samples`", source="open_samples")
    check_choice(split, SPLITS, "evaluate: `split`")
    check_whole(seed, "evaluate: `seed`", least=0)
    if oracle is not None:
        check_mapping(oracle, "evaluate: `oracle`")
    check_samples(run.head, run.vocabularies, samples)
    tally = Tally()
    with graphs_of(run.model):
        for scored in scored_batches(scorer(run.model), samples, split):
            tally.add(scored)
    return {
        "version_id": run.head.version_id,
        "model": run.head.config.model,
        **tally.figures(seed=seed),
        **tally.details(),
        **baselines_document(samples, split, oracle=oracle, seed=seed),
    }
