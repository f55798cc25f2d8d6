"""Kill `edgerec versions publish` before each of its file operations, and check what is left."""

from __future__ import annotations

import shutil
from pathlib import Path

from edgerec.bundle.whole import check_whole
from edgerec.cloud.version_folder import publish
from edgerec.cloud.version_list import read_versions, unlisted
from tests.forked import run_script

_SCRIPT = """
import shutil
from pathlib import Path
from edgerec.cloud.version_folder import publish

bundle, folder, copies = map(Path, sys.argv[1:4])
first, every = map(int, sys.argv[4:])

def attempt(target, end):
    '''Publish in a child that is killed before its operation `end`. Return whether it was killed.'''
    pid = os.fork()
    if pid == 0:
        count = 0

        def watch(event, arguments):
            nonlocal count
            # `open`, `os.rename`, `os.mkdir` and so on in the folder; `fcntl.flock` names no path.
            if event == "fcntl.flock" or any(str(target) in str(each) for each in arguments):
                if count == end:
                    os.kill(os.getpid(), signal.SIGKILL)
                count += 1

        sys.addaudithook(watch)
        publish(bundle, target)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL

end = first
while True:
    target = copies / str(end)
    shutil.copytree(folder, target)
    if not attempt(target, end):
        break
    end += every
"""


def kill_each_step(bundle: Path, folder: Path, copies: Path, *, every: int = 1, first: int = 0) -> list[str]:
    """Publish `bundle` to copies of `folder`, and kill it before the file operation `first`, `first + every`, ...

    After each kill, the list is the old one or the new one, and all bundles that it names are complete. The same
    command finishes the work, and leaves nothing behind.

    Returns:
        For each kill, `old` or `new`: which list was left.
    """
    copies.mkdir()
    run_script(_SCRIPT, bundle, folder, copies, str(first), str(every))
    before = read_versions(folder).versions
    outcomes = []
    for target in sorted(copies.iterdir(), key=lambda path: int(path.name))[:-1]:
        left = read_versions(target).versions
        new = left != before
        assert left[: len(before)] == before
        assert len(left) == len(before) + new
        for entry in left:
            check_whole(target / entry.folder)
        outcomes.append("new" if new else "old")
        if not new:
            publish(bundle, target)
        assert unlisted(target) == []
        hidden = [path.name for path in target.iterdir() if path.name.startswith(".")]
        if not new:
            assert hidden == [".versions.lock"]
        shutil.rmtree(target)
    return outcomes
