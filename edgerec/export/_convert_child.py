"""A script that runs MNN's converter. `convert.py` starts it as a separate process.

MNN's converter and TensorFlow contain two protobuf libraries, and a process that loads both aborts. `convert.py` runs
this file by its path, so that it imports only the converter's extension module. It does not import `MNN.tools`:
on import, that package installs another one with pip and contacts a log server, and its converter sends a log.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys


def end_with(parent: int) -> None:
    """Make this process end when the process `parent` ends, even if `parent` is killed (prctl(2), only on Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def main(source: str, target: str, source_format: str = "ONNX", *flags: str) -> int:
    """Convert the file `source` to the MNN file `target`. `source_format` is ONNX or MNN.

    Returns:
        An exit code. It is not reliable, because the converter can report success without writing a model.
    """
    import _tools

    arguments = [
        "mnnconvert",
        *("-f", source_format),
        *("--modelFile", source),
        *("--MNNModel", target),
        *("--bizCode", "edgerec"),
        *flags,
    ]
    return 0 if _tools.mnnconvert(arguments) else 1


if __name__ == "__main__":
    end_with(int(sys.argv[1]))
    sys.path.append(sys.argv[2])
    sys.exit(main(*sys.argv[3:]))
