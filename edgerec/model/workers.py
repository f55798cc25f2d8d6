"""One training by several processes: TensorFlow's MultiWorkerMirroredStrategy, or a single one of them.

Each worker takes its share of every batch; gradients are summed over all of them, and each takes the same step with the
sum. So weights are equal everywhere at all times, and need not be sent.
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
"""The environment variable by which TensorFlow, and whatever schedules its jobs, names the workers."""
GONE = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
    tf.errors.FailedPreconditionError,
    tf.errors.UnknownError,
)
"""What collective operations raise where another worker has ended."""


class Workers:
    """Where this process stands among those of the training.

    Attributes:
        index: which of them it is; 0 writes.
        count: how many there are.
    """

    def __init__(self) -> None:
        self.index, self.count = 0, 1

    @property
    def chief(self) -> bool:
        return self.index == 0

    def each(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, to be called by every worker at once; within it, `total` may be used."""
        return function

    def total(self, values: Sequence[Any]) -> list[Any]:
        """Tensors or slices of tables, each summed over all workers."""
        return list(values)

    def meet(self) -> None:
        """Wait until every worker has come so far."""

    def check_equal(self, digest: str) -> None:
        """Raises:
        TrainingError: another worker has another `digest` (hexadecimal).
        """

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Whatever workers do together: one error where another is gone.

        Raises:
            TrainingError: another worker has ended.
        """
        yield


class Cluster(Workers):
    """Workers that `TF_CONFIG` names."""

    def __init__(self) -> None:
        self.index, self.count = _place(os.environ[CLUSTER])
        with self.together():
            self._strategy = tf.distribute.MultiWorkerMirroredStrategy()
        if self._strategy.num_replicas_in_sync != self.count:
            raise ConfigurationError(
                f"{CLUSTER} names {self.count} workers for {self._strategy.num_replicas_in_sync} devices: give each "
                "worker one GPU (CUDA_VISIBLE_DEVICES), and start a worker for each"
            )

    def each(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *arguments: self._strategy.run(function, args=arguments)

    def total(self, values: Sequence[Any]) -> list[Any]:
        context = tf.distribute.get_replica_context()
        found: list[Any] = context.all_reduce(tf.distribute.ReduceOp.SUM, list(values))
        return found

    def meet(self) -> None:
        self._sum(0.0)

    def check_equal(self, digest: str) -> None:
        own = int(digest[:6], 16)
        if self._sum(float(own)) != own * self.count:
            raise TrainingError(
                f"training: the weights of worker {self.index} are not those of the others: use machines and versions "
                "of one kind, then begin anew with --force"
            )

    def _sum(self, value: float) -> float:
        """Of one number (whole, below 2**24) of every worker."""

        # What is to be summed has to be computed within: a bare argument is on no device.
        @tf.function(autograph=False)  # type: ignore[untyped-decorator]
        def add(number: Any) -> Any:
            return self.each(lambda mine: self.total([tf.identity(mine)])[0])(number)

        with self.together():
            return float(add(tf.constant(value, tf.float64)))

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        try:
            yield
        except GONE as error:
            raise TrainingError(
                f"training: worker {self.index} of {self.count} lost another worker ({first_line(error)[:200]}): see "
                "what that one said, then start all of them again, with --resume where an epoch was finished"
            ) from error


def workers_named() -> bool:
    """Whether `TF_CONFIG` names more than one.

    Raises:
        ConfigurationError: it is not as TensorFlow has it.
    """
    text = os.environ.get(CLUSTER, "").strip()
    return bool(text) and _place(text)[1] > 1


def workers() -> Workers:
    """As the environment has it.

    Raises:
        ConfigurationError: `TF_CONFIG` is not as TensorFlow has it, or names another kind of cluster.
        TrainingError: the other workers did not come.
    """
    return Cluster() if workers_named() else Workers()


def _place(text: str) -> tuple[int, int]:
    """Which worker this is, and how many there are."""
    try:
        document = json.loads(text)
        cluster, task = document["cluster"], document["task"]
        kinds = [(kind, len(cluster.get(kind, ()))) for kind in ("chief", "worker")]
        before = dict(kinds)["chief"] if task["type"] == "worker" else 0
        index, count = before + int(task["index"]), sum(size for _, size in kinds)
        known = task["type"] in ("chief", "worker") and set(cluster) <= {"chief", "worker"} and 0 <= index < count
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigurationError(
            f"{CLUSTER} is not as TensorFlow has it ({first_line(error)}): docs/scaling.md"
        ) from None
    if not known:
        raise ConfigurationError(
            f"{CLUSTER} should name workers (and a chief) alone, and this process among them; received {text}: "
            "docs/scaling.md"
        )
    return index, count
