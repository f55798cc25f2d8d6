"""Every error that a user of EdgeRec may meet.

::

    EdgeRecError
    ├── InputError              what came from outside is not as it should be
    │   ├── LogsError           logs: a column, a value, a file
    │   ├── SpecificationError  a feature specification, or data that does not fit it
    │   └── ConfigurationError  a configuration of a training or a simulation
    ├── FormatError             a folder or file of ours: other format number, missing part, damaged
    │   └── IntegrityError      its bytes are not the ones that were written
    │       └── SignatureError  not signed by the key that it has to be signed by
    ├── OutputError             the place to write to: exists already, or cannot be written
    ├── ShapeError              an array of another name, shape or type than stated
    ├── SessionError            MNN cannot load a model, or was asked for what the model does not do
    │   └── NotFiniteError      a model gave NaN or infinity
    ├── ConversionError         a graph could not be converted to MNN
    ├── ParityError             two implementations of one function disagree
    ├── TrainingError           training cannot go on (no data, a loss that is no number)
    ├── StoreError              the embedding store does not answer, or not as it should
    ├── ResourceError           the machine does not give what the work needs
    ├── PluginError             what another package adds to EdgeRec cannot be used
    └── MissingExtraError       an optional part of EdgeRec is not installed

The text of each says what was wrong, what was expected, what was received, and what to do. The command line prints it
as one line and exits with 1.
"""

from __future__ import annotations


def first_line(error: BaseException) -> str:
    """The first line of an error's text, or its type where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


class EdgeRecError(Exception):
    """Base of all errors that EdgeRec raises on purpose."""


class InputError(EdgeRecError):
    """What came from outside is not as it should be."""


class LogsError(InputError):
    """Logs that break their schema."""


class SpecificationError(InputError):
    """A feature specification that is not valid, or data that does not fit it."""


class ConfigurationError(InputError):
    """A configuration (of a training, of a simulation) that is not valid."""


class FormatError(EdgeRecError):
    """A folder or file of ours that cannot be read: other format number, missing part, damaged."""


class IntegrityError(FormatError):
    """The bytes of a file are not the ones that were written."""


class SignatureError(IntegrityError):
    """A signature is required and there is none, or it is not of the given key over these bytes."""


class OutputError(EdgeRecError):
    """The place to write to exists already or cannot be written."""


class ShapeError(EdgeRecError, ValueError):
    """An array whose name, shape or type is not the stated one."""


class SessionError(EdgeRecError):
    """MNN cannot load a model, or was asked for what the model does not do."""


class NotFiniteError(SessionError):
    """A model gave NaN or infinity."""


class ConversionError(EdgeRecError):
    """A graph could not be converted to MNN."""


class ParityError(EdgeRecError):
    """Two implementations of one function disagree by more than the tolerance."""


class TrainingError(EdgeRecError):
    """Training cannot go on."""


class StoreError(EdgeRecError):
    """The embedding store does not answer, or not as it should."""


class ResourceError(EdgeRecError):
    """The machine does not give what the work needs: memory, a process."""


class PluginError(EdgeRecError):
    """What another package adds to EdgeRec (a source, a kind of feature) cannot be used."""


class MissingExtraError(EdgeRecError):
    """An optional part of EdgeRec is not installed."""
