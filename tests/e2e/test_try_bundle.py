"""The example for any bundle runs with the packages of the extra `device`, whatever the specification is."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.test_python_page import ON_DEVICE, ROOT

EXAMPLE = str(ROOT / "examples" / "try_bundle.py")


def tried(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", ON_DEVICE, EXAMPLE, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


@pytest.mark.parametrize("bundle", ["bundle_path", "plus_path"])
def test_a_real_client_runs_with_any_bundle(bundle: str, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(bundle)
    done = tried(str(folder if bundle == "bundle_path" else folder / "bundle"))
    assert done.returncode == 0, done.stderr
    assert "error" not in done.stdout
    cloud, page, seen, opened = (line.split()[1:] for line in done.stdout.splitlines() if line.startswith("  order:"))
    assert page != cloud
    assert sorted(page) == sorted(cloud) == sorted(seen) == sorted(opened)
    assert opened[:3] == seen[:3] == page[:3]
    triggers = re.findall(r"triggers: (.*) \(\d+\.\d ms\)", done.stdout)
    assert (triggers[0], triggers[2]) == ("page", "click")
    # Three exposures, a page-view, and a request for each re-rank.
    requests = sum(names != "none" for names in triggers)
    assert done.stdout.splitlines()[-1] == f"{4 + requests} log rows were sent"


def test_wrong_arguments_give_one_line(tmp_path: Path) -> None:
    assert tried().stderr == "usage: python try_bundle.py BUNDLE\n"
    missing = tried(str(tmp_path / "nosuch"))
    assert missing.returncode == 1
    assert missing.stderr.startswith("error: bundle: ")
    assert missing.stderr.count("\n") == 1
