"""Importing TensorFlow without its messages on stderr."""

from __future__ import annotations

import os
import sys
import tempfile


def import_tensorflow() -> None:
    """Import TensorFlow and list its devices, while the messages of its C++ code are kept off stderr.

    TensorFlow logs before its log level takes effect. If the import fails, the messages are written after all.
    Descriptor 2 belongs to the whole process, so only the command line may call this, while it has one thread.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()
            # Errors are raised anyway. The log has advice for TensorFlow's developers, above all after an interrupt.
            tf.get_logger().setLevel("CRITICAL")
        except ImportError:
            said.seek(0)
            os.write(kept, said.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
