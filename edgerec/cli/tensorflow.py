"""Import TensorFlow without its messages on stderr."""

from __future__ import annotations

import os
from functools import cache

from edgerec.core.quiet_stderr import quiet_stderr


@cache
def import_tensorflow() -> None:
    """Import TensorFlow and list its devices, without the messages that its C++ code writes to stderr.

    TensorFlow writes some messages before its log level takes effect, so file descriptor 2 is redirected meanwhile. If
    the import fails, the messages are shown. All threads share the descriptor, so only the command line may call this,
    and first while the process has one thread. Later calls do nothing.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with quiet_stderr(shown_after=ImportError):
        import tensorflow as tf

        tf.config.list_physical_devices()
        # Errors are raised as exceptions. The log only has messages for the developers of TensorFlow.
        tf.get_logger().setLevel("CRITICAL")
