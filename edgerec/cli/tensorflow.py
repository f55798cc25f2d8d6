"""Importing TensorFlow without its greetings."""

from __future__ import annotations

import os
import sys
import tempfile


def import_tensorflow() -> None:
    """Import TensorFlow and look for its devices, with what its C++ says about itself kept off stderr.

    It logs before its own log level counts. What it said is passed on if the import fails. Descriptor 2 belongs to the
    whole process, so only the command line may do this, as long as its process has one thread.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()
            # What goes wrong is raised; its log has advice for TensorFlow's own developers, at an interrupt above all.
            tf.get_logger().setLevel("CRITICAL")
        except ImportError:
            said.seek(0)
            os.write(kept, said.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
