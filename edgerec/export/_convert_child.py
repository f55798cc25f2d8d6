"""Run MNN's converter; started by `convert.py` as a process of its own.

MNN's converter and TensorFlow bring two protobuf libraries that abort when they meet in one process. This file is run
by its path, so that it imports the converter's extension module and nothing else: not `MNN.tools`, which installs
packages and sends logs when it is imported.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys


def end_with(parent: int) -> None:
    """Let this process end when `parent` ends, which may be killed (prctl(2); Linux alone has it)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def main(source: str, target: str, kind: str = "ONNX", *flags: str) -> int:
    """Convert the file `source`, ONNX or MNN by `kind`, to the MNN file `target`.

    The answer is an exit code, not to be trusted.
    """
    import _tools

    arguments = [
        "mnnconvert",
        *("-f", kind),
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
