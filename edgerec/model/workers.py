"""The processes of one training: several workers with TensorFlow's MultiWorkerMirroredStrategy, or a single process.

Each worker computes the gradients of its share of each batch. The gradients are summed over all workers, and each
worker applies the same step with the sum. So the weights are always equal on all workers, and are never sent.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow as tf

from edgerec.core.errors import ConfigurationError, TrainingError, first_line

CLUSTER = "TF_CONFIG"
"""The environment variable that names the workers. Schedulers of TensorFlow jobs set it."""
GONE = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
    tf.errors.FailedPreconditionError,
    tf.errors.UnknownError,
)
"""The errors that a collective operation raises if another worker has ended."""


class Workers:
    """The workers of a training, from the view of one of them. This base class is a training in a single process.

    Attributes:
        index: index of this process. Worker 0, the chief, writes the files.
        count: number of workers.
    """

    def __init__(self) -> None:
        self.index, self.count = 0, 1

    @property
    def chief(self) -> bool:
        return self.index == 0

    def on_each(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that all workers must call at the same time. It runs `function`, which may call `sum`."""
        return function

    def sum(self, values: Sequence[Any]) -> list[Any]:
        """Sum each value over all workers and return the sums. A value is a tensor or a `tf.IndexedSlices`."""
        return list(values)

    def barrier(self) -> None:
        """Wait until every worker has called this method."""

    def check_equal(self, digest: str) -> None:
        """Raise unless all workers have the same `digest` (hexadecimal).

        Raises:
            TrainingError: another worker has another digest.
        """

    @contextlib.contextmanager
    def collective(self) -> Iterator[None]:
        """Turn the errors of collective operations into one error that says what to do.

        Raises:
            TrainingError: another worker has ended.
        """
        yield


class Cluster(Workers):
    """The workers that `TF_CONFIG` names."""

    def __init__(self) -> None:
        self.index, self.count = _index_and_count(os.environ[CLUSTER])
        with self.collective():
            self._strategy = tf.distribute.MultiWorkerMirroredStrategy()
        if self._strategy.num_replicas_in_sync != self.count:
            raise ConfigurationError(
                f"{CLUSTER} names {self.count} workers, but there are {self._strategy.num_replicas_in_sync} devices: "
                "give each worker one GPU (CUDA_VISIBLE_DEVICES), and start one worker for each GPU"
            )

    def on_each(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *arguments: self._strategy.run(function, args=arguments)

    def sum(self, values: Sequence[Any]) -> list[Any]:
        context = tf.distribute.get_replica_context()
        sums: list[Any] = context.all_reduce(tf.distribute.ReduceOp.SUM, list(values))
        return sums

    def barrier(self) -> None:
        self._sum_number(0.0)

    def check_equal(self, digest: str) -> None:
        own = int(digest[:6], 16)
        if self._sum_number(float(own)) != own * self.count:
            raise TrainingError(
                f"training: the weights of worker {self.index} differ from those of the other workers: use the same "
                "type of machine and the same versions for all workers, then start again with "
                "--force"
            )

    def _sum_number(self, value: float) -> float:
        """Return the sum over all workers of one integer below 2**24."""

        # The sum needs a tensor that is on a device. The argument is not, but the result of `identity` is.
        @tf.function(autograph=False)  # type: ignore[untyped-decorator]
        def add(number: Any) -> Any:
            return self.on_each(lambda own: self.sum([tf.identity(own)])[0])(number)

        with self.collective():
            return float(add(tf.constant(value, tf.float64)))

    @contextlib.contextmanager
    def collective(self) -> Iterator[None]:
        try:
            yield
        except GONE as error:
            raise TrainingError(
                f"training: worker {self.index} of {self.count} lost another worker ({first_line(error)[:200]}): read "
                "the error of that worker, then start all workers again, with --resume if an epoch was finished"
            ) from error


def workers_named() -> bool:
    """Return whether `TF_CONFIG` names more than one worker.

    Raises:
        ConfigurationError: the variable does not have TensorFlow's format.
    """
    text = os.environ.get(CLUSTER, "").strip()
    return bool(text) and _index_and_count(text)[1] > 1


def workers() -> Workers:
    """Return the workers that the environment names.

    Raises:
        ConfigurationError: `TF_CONFIG` does not have TensorFlow's format, or names another kind of cluster.
        TrainingError: the other workers did not connect.
    """
    return Cluster() if workers_named() else Workers()


def _index_and_count(text: str) -> tuple[int, int]:
    """Return the index of this worker, and the number of workers."""
    try:
        document = json.loads(text)
        cluster, task = document["cluster"], document["task"]
        kinds = [(kind, len(cluster.get(kind, ()))) for kind in ("chief", "worker")]
        before = dict(kinds)["chief"] if task["type"] == "worker" else 0
        index, count = before + int(task["index"]), sum(size for _, size in kinds)
        known = task["type"] in ("chief", "worker") and set(cluster) <= {"chief", "worker"} and 0 <= index < count
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigurationError(
            f"{CLUSTER} should have TensorFlow's format ({first_line(error)}): see docs/scaling.md"
        ) from None
    if not known:
        raise ConfigurationError(
            f"{CLUSTER} should name only workers (and a chief), and this process should be one of them; received "
            f"{text}: see docs/scaling.md"
        )
    return index, count
