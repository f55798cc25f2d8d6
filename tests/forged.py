"""Make models that crash MNN although their flatbuffer structure is valid."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

_LIMITS = """
import os, random, resource, signal, sys
from pathlib import Path
from edgerec.device_runtime.session import Session
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))  # a model may also request all memory
"""
_SEARCH = """
source, target = map(Path, sys.argv[1:])
model, draw = source.read_bytes(), random.Random(0)
Session(source)
for _ in range(2000):
    changed = bytearray(model)
    changed[draw.randrange(500, 6000)] = 255  # the descriptions of operations, which precede the weights
    target.write_bytes(changed)
    pid = os.fork()
    if pid == 0:
        signal.alarm(300)
        try:
            Session(target)
        except Exception:
            pass
        os._exit(0)
    if os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGSEGV:
        sys.exit(0)
sys.exit("no change of a byte crashes MNN")
"""


def crashing(model: bytes) -> bytes:
    """Return `model` with one changed byte that makes MNN crash when it creates a session."""
    with TemporaryDirectory() as folder:
        source, target = Path(folder, "model.mnn"), Path(folder, "changed.mnn")
        source.write_bytes(model)
        done = _python(_LIMITS + _SEARCH, source, target)
        assert done.returncode == 0, done.stderr
        # Check that the model also crashes another process, whose memory has another layout.
        assert _python(_LIMITS + "Session(Path(sys.argv[1]))", target).returncode < 0
        return target.read_bytes()


def _python(code: str, *paths: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *map(str, paths)], capture_output=True, text=True, check=False)
