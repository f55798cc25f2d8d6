"""`edgerec serve` that notes each file that it opens outside of given folders. The proof `api` runs it.

Python reports every `open` of its own code. Files of Python and of its packages are left out, because modules are
imported when they are needed first, and so is /proc, where the metrics of the process come from.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path
from typing import Any

from edgerec.cli import main

EVENTS = ("open", "os.listdir", "os.scandir", "sqlite3.connect")


def watch(notes: Path, allowed: list[str]) -> None:
    """From now on, append the path of each file to `notes` that is opened outside of the folders `allowed`."""
    packages = [sys.prefix, sys.base_prefix, *sysconfig.get_paths().values(), str(Path(__file__).parents[2])]
    roots = tuple(os.path.realpath(each) + os.sep for each in (*allowed, *packages, "/proc", "/dev"))
    handle = os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in EVENTS and isinstance(arguments[0], (str, bytes)):
            path = os.path.realpath(os.fsdecode(arguments[0]))
            if not (path + os.sep).startswith(roots):
                os.write(handle, f"{event} {path}\n".encode(errors="replace"))

    sys.addaudithook(hook)


def run() -> None:
    """Run the server. The arguments of the process are the file of notes, the folders, and the server's arguments."""
    watch(Path(sys.argv[1]), sys.argv[2].split(os.pathsep))
    sys.argv = ["edgerec", "serve", *sys.argv[3:]]
    main()
