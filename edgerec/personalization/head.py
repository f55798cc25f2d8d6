"""What all users of a model version share: what a patch reads, where it starts, and how it is trained.

Meta-training learns it off the device (`edgerec meta-train`). A patch `theta` has `rank`
weights and a bias. With the activations a of a candidate,

    phi = clip((a - mean) @ kernel)
    personal logit = logit + phi . theta[:rank] + theta[rank]
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgerec.core.arrays import parse_members
from edgerec.core.errors import FormatError, ShapeError
from edgerec.core.text_fields import Name
from edgerec.personalization.user_rate import UserRate

Array = NDArray[np.float32]

MAX_BYTES = 1 << 22
MAX_INPUTS, MAX_RANK = 4096, 256
MAX_CLIP = 6e4
"""Devices store what a patch reads as float16, whose largest number is 65,504."""
ONE_THREAD = 1 << 18
"""OpenBLAS multiplies matrices in one thread up to this number of multiplications."""
MOST_CANDIDATES = 1000
"""More rows than this are no re-rank, and threads are worth it."""
_ADVICE = "run `edgerec meta-train` again"


class Training(BaseModel):
    """How a device trains patches.

    Attributes:
        format: the format number.
        version_id: the model version to which the head and its patches belong.
        method: the method of `edgerec meta-train`.
        steps: number of steps of one training.
        optimiser: `gradient` for steps of gradient descent with `PersonalHead.rates`, `newton` for Newton steps.
        clip: numbers that a patch reads are kept within [-clip, clip].
        reach: the largest length of the change of a patch, ``sqrt(sum_j pull_j (theta_j - start_j) ** 2)``.
        shrink_events: k. The trained change of a patch is multiplied by ``n / (n + k)``, with n events.
        gain: by how much patches lowered the log loss of the gate's events in meta-training, on average.
        gain_events: as many events as this prior knowledge counts in the gate.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    format: Literal[1] = 1
    version_id: Name
    method: Name
    steps: Annotated[int, Field(ge=1, le=1000)] = 50
    optimiser: Literal["gradient", "newton"] = "gradient"
    clip: Annotated[float, Field(gt=0, le=MAX_CLIP)] = 1e3
    reach: Annotated[float, Field(gt=0, le=1e6)] = 1e3
    shrink_events: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    gain: Annotated[float, Field(ge=-10, le=10)] = 0.0
    gain_events: Annotated[float, Field(ge=0, le=1e6)] = 0.0


@dataclass(frozen=True, eq=False)
class PersonalHead:
    """The head of a model version.

    Attributes:
        training: how patches are trained.
        mean: (inputs,) the mean of the activations.
        kernel: (inputs, rank) from activations to the numbers that a patch reads.
        start: (rank + 1,) the patch with which training starts; the last number is the bias.
        rates: (rank + 1,) the learning rate of each number of a patch, at least 0. Newton steps do not read them.
        pull: (rank + 1,) how strongly each number is pulled towards `start`, in events. Greater than 0.
        user_rate: a factor of `rates` for each user (PAML); None: it is 1 for all users.

    Raises:
        FormatError: an array has another shape or type, is not finite, or is out of bounds.
    """

    training: Training
    mean: Array
    kernel: Array
    start: Array
    rates: Array
    pull: Array
    user_rate: UserRate | None = None

    def __post_init__(self) -> None:
        inputs, rank = self.kernel.shape if self.kernel.ndim == 2 else (0, 0)
        if not (1 <= inputs <= MAX_INPUTS and 1 <= rank <= MAX_RANK):
            raise FormatError(
                f"personal head: kernel should have 1 to {MAX_INPUTS} rows and 1 to {MAX_RANK} columns; received shape "
                f"{self.kernel.shape}: {_ADVICE}"
            )
        shapes = {"mean": (inputs,), "kernel": (inputs, rank)}
        shapes |= dict.fromkeys(("start", "rates", "pull"), (rank + 1,))
        for name, shape in shapes.items():
            array = getattr(self, name)
            if array.dtype != np.float32 or array.shape != shape:
                raise FormatError(
                    f"personal head: {name} should be float32 of shape {shape}; received {array.dtype} of shape "
                    f"{array.shape}: {_ADVICE}"
                )
            if not np.isfinite(array).all():
                raise FormatError(f"personal head: {name} should be finite; received NaN or infinity: {_ADVICE}")
        if self.rates.min() < 0 or self.pull.min() <= 0:
            raise FormatError(
                f"personal head: rates should be at least 0 and pull greater than 0; received {self.rates.min():g} "
                f"and {self.pull.min():g}: {_ADVICE}"
            )
        if self.user_rate is not None:
            self.user_rate.check(rank)

    @cached_property
    def head_id(self) -> str:
        """The first 16 digits of the SHA-256 of the bytes. Another head of the same model version has another ID."""
        return hashlib.sha256(self.to_bytes()).hexdigest()[:16]

    @property
    def inputs(self) -> int:
        """Number of activations of a candidate."""
        return len(self.kernel)

    @property
    def rank(self) -> int:
        """Number of weights of a patch, without its bias."""
        return len(self.start) - 1

    def check_version(self, version_id: str) -> None:
        """Check that the head belongs to the model version `version_id`.

        Raises:
            FormatError: it belongs to another version.
        """
        if self.training.version_id != version_id:
            raise FormatError(
                f"personal head: it should belong to model version {version_id}; received that of version "
                f"{self.training.version_id}: run `edgerec meta-train` on this run"
            )

    def check_model(self, version_id: str, *, hidden: int, candidate: int) -> None:
        """Check that the head belongs to a model.

        Args:
            version_id: the version of the model.
            hidden: width of the hidden layer that its ranker returns; 0 if it returns none.
            candidate: width of a candidate vector.

        Raises:
            FormatError: the head belongs to another version, or it reads other activations.
        """
        self.check_version(version_id)
        if not hidden or self.inputs not in (hidden, hidden + candidate):
            raise FormatError(
                f"personal head: it should read {hidden} numbers (the hidden layer) or {hidden + candidate} (with the "
                f"candidate vector), of a ranker that returns its hidden layer; received a head that reads "
                f"{self.inputs}: {_ADVICE}"
            )

    def activations(self, hidden: Array, candidates: Array) -> Array:
        """Return the activations (n, inputs) of candidates: the hidden layer, alone or with the candidate vectors.

        Args:
            hidden: (n, hidden) float32, `Scored.hidden`.
            candidates: (n, candidate) float32, `Scored.candidates`.
        """
        return hidden if hidden.shape[-1] == self.inputs else np.concatenate([hidden, candidates], axis=-1)

    def read(self, activations: Array) -> Array:
        """Return phi (n, rank) float32, what a patch reads of candidates.

        Args:
            activations: (n, inputs) float32, the hidden layer of each candidate, then its candidate vector.

        Raises:
            ShapeError: the activations have another width.
        """
        if activations.ndim != 2 or activations.shape[1] != self.inputs:
            raise ShapeError(
                f"personal head: activations should have shape (n, {self.inputs}); received {activations.shape}"
            )
        clip = np.float32(self.training.clip)
        phi = _product(activations - self.mean, self.kernel)
        return np.clip(phi, -clip, clip, out=phi)

    def document(self) -> dict[str, Any]:
        """Return what `edgerec inspect` shows of the head."""
        training = self.training
        return {
            "method": training.method,
            "inputs": self.inputs,
            "rank": self.rank,
            "patch_bytes": self.start.nbytes,
            "optimiser": training.optimiser,
            "steps": training.steps,
            "shrink_events": training.shrink_events,
            "gate_gain": training.gain,
            "gate_gain_events": training.gain_events,
        }

    def to_bytes(self) -> bytes:
        """Return the content of the file `personal_head.npz`. The same head gives the same bytes."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        if self.user_rate is not None:
            arrays |= self.user_rate.arrays()
        content = io.BytesIO()
        training = np.array(self.training.model_dump_json())
        np.savez(content, **arrays, training=training, user_rate=np.array(self.user_rate is not None))
        return content.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> PersonalHead:
        """Parse the content of the file `personal_head.npz`.

        Raises:
            FormatError: the content is damaged or too large, or see the class.
        """
        if len(content) > MAX_BYTES:
            raise FormatError(
                f"personal head: the file should have at most {MAX_BYTES} bytes; received {len(content)}: {_ADVICE}"
            )
        what = "personal head: the file"
        arrays = parse_members(content, (*_ARRAYS, "training", "user_rate"), what=what, advice=_ADVICE)
        training, has_rate = arrays.pop("training"), arrays.pop("user_rate")
        try:
            settings = Training.model_validate_json(str(training))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "training"
            raise FormatError(f"personal head: {place}: {first['msg']}: {_ADVICE}") from None
        rate = None
        if has_rate.dtype == np.bool_ and has_rate.shape == () and bool(has_rate):
            rate = UserRate(**parse_members(content, UserRate.names(), what=what, advice=_ADVICE))
        return cls(settings, **arrays, user_rate=rate)


def _product(rows: Array, kernel: Array) -> Array:
    """Return `rows @ kernel`. For a re-rank, no product is large enough for the threads of OpenBLAS.

    They would gain nothing here, and a re-rank would wait for each of them: on a busy device, for milliseconds.
    """
    few = max(1, ONE_THREAD // kernel.size)
    if not few < len(rows) <= MOST_CANDIDATES:
        return rows @ kernel
    product = np.empty((len(rows), kernel.shape[1]), np.float32)
    for first in range(0, len(rows), few):
        np.matmul(rows[first : first + few], kernel, out=product[first : first + few])
    return product


_ARRAYS = tuple(field.name for field in fields(PersonalHead) if field.name not in ("training", "user_rate"))
