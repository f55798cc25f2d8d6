"""All errors that EdgeRec raises on purpose.

::

    EdgeRecError
    ├── InputError              an input from outside is invalid
    │   ├── LogsError           logs do not follow their schema
    │   ├── SpecificationError  a feature specification is invalid, or data does not fit it
    │   └── ConfigurationError  a configuration of a training or a simulation is invalid
    ├── FormatError             a folder or file of EdgeRec has another format or is damaged
    │   └── IntegrityError      a file was changed after it was written
    │       └── SignatureError  a required signature is missing or wrong
    ├── OutputError             an output exists already or cannot be written
    ├── ShapeError              an array has a wrong name, shape or type
    ├── SessionError            MNN cannot load a model, or a call does not fit the model
    │   └── NotFiniteError      a model returned NaN or infinity
    ├── ConversionError         a graph cannot be converted to MNN
    ├── ParityError             two implementations of the same function disagree
    ├── SlowdownError           a build is slower than the caller allows
    ├── TrainingError           training cannot continue (no data, a loss of NaN)
    ├── StoreError              an embedding store or a behaviour store does not answer correctly
    │   └── DamagedStoreError   the file of a behaviour store is damaged
    ├── TransportError          the cloud cannot be reached, or its answer is wrong
    │   ├── BusyError           the cloud asks to wait before the next request
    │   ├── AnswerError         the cloud answers, but this kind of request fails
    │   │   └── UnservedVersionError  the cloud does not serve the model version of the device
    │   └── RefusedError        the cloud refuses what was sent, and would refuse it again
    ├── ResourceError           there is not enough memory, or a process died
    ├── PluginError             an extension from another package cannot be used
    └── MissingExtraError       an optional part of EdgeRec is not installed

Each text says what was wrong, what was expected, what was received, and what to do. The command line prints the text as
one line and exits with code 1.
"""

from __future__ import annotations


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text, or the name of its type if the text is empty."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def not_installed(package: str, extra: str) -> str:
    """Return the text of the error for a missing package. It names the extra of EdgeRec that installs the package.

    pip finds that EdgeRec is installed, from a wheel or from a folder, and asks no index for it.
    """
    return f"{package} is not installed: run pip install 'edgerec[{extra}]'"


class EdgeRecError(Exception):
    """The base class of all errors that EdgeRec raises on purpose."""


class InputError(EdgeRecError):
    """An input from outside is invalid."""


class LogsError(InputError):
    """Logs do not follow their schema."""


class SpecificationError(InputError):
    """A feature specification is invalid, or data does not fit it."""


class ConfigurationError(InputError):
    """A configuration of a training or a simulation is invalid."""


class FormatError(EdgeRecError):
    """A folder or file of EdgeRec cannot be read: it has another format number, a missing part, or damage."""


class IntegrityError(FormatError):
    """A file was changed after it was written."""


class SignatureError(IntegrityError):
    """A required signature is missing, or it does not match the key and the content."""


class OutputError(EdgeRecError):
    """An output exists already or cannot be written."""


class ShapeError(EdgeRecError, ValueError):
    """An array has a wrong name, shape or type."""


class SessionError(EdgeRecError):
    """MNN cannot load a model, or a call does not fit the model."""


class NotFiniteError(SessionError):
    """A model returned NaN or infinity."""


class ConversionError(EdgeRecError):
    """A graph cannot be converted to MNN."""


class ParityError(EdgeRecError):
    """Two implementations of the same function disagree by more than the tolerance."""


class SlowdownError(EdgeRecError):
    """A build is slower than another one by more than the caller allows."""


class TrainingError(EdgeRecError):
    """Training cannot continue."""


class StoreError(EdgeRecError):
    """A store of embeddings or of behaviours does not answer, or its answer is invalid."""


class DamagedStoreError(StoreError):
    """The file of a behaviour store is damaged."""


class TransportError(EdgeRecError):
    """The cloud cannot be reached, or its answer is wrong."""


class BusyError(TransportError):
    """The cloud asks to wait before the next request: statuses 429 and 503.

    Attributes:
        retry_after_s: how long to wait in seconds; None if the cloud does not say.
        limited: whether the device asked too often (429).
    """

    def __init__(self, text: str, retry_after_s: float | None = None, *, limited: bool = False) -> None:
        super().__init__(text)
        self.retry_after_s, self.limited = retry_after_s, limited


class AnswerError(TransportError):
    """The cloud answers, but this kind of request fails, for example because a token is missing."""


class UnservedVersionError(AnswerError):
    """The cloud does not serve the model version of the device: it is unknown there, or it was retired."""


class RefusedError(TransportError):
    """The cloud refuses what was sent, and would refuse it again."""


class ResourceError(EdgeRecError):
    """There is not enough memory, or a worker process died."""


class PluginError(EdgeRecError):
    """An extension from another package (a model, a data source, a feature kind, a peer) cannot be used."""


class MissingExtraError(EdgeRecError):
    """An optional part of EdgeRec is not installed."""
