"""The device commands work if the packages for training, conversion and peers are not installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from edgerec.bundle.manifest_file import sign_bundle
from edgerec.bundle.signing import SigningKey
from tests.bench.compare.test_verdict import document as bench_document
from tests.bench.compare.test_verdict import row
from tests.command_line import edgerec_here

ABSENT = (
    *("tensorflow", "keras", "polars", "onnx", "onnxruntime", "tf2onnx", "scipy", "redis"),
    *("plotly", "jinja2", "cryptography", "fastapi", "ai_edge_litert"),
)
WITH = "EDGEREC_TEST_WITH"
"""Environment variable that names a package which is not hidden."""

# Python runs this file when a process starts. It hides installed packages: no import finder finds them any more.
WITHOUT = f"""
import importlib.util, os, sys

absent = [name for name in {ABSENT} if name != os.environ.get("{WITH}")]

class Without:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, *rest):
        return None if name.split(".")[0] in absent else self.finder.find_spec(name, *rest)
    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
for name in absent:
    assert name not in sys.modules and importlib.util.find_spec(name) is None
    try:
        __import__(name)
    except ImportError:
        continue
    raise AssertionError(name)
"""


@pytest.fixture(scope="module", autouse=True)
def without(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hide the packages from all processes that the tests start, and from the processes that these start."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "sitecustomize.py").write_text(WITHOUT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        yield


def edgerec(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgerec", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "command",
    [
        ["verify"],
        ["inspect"],
        pytest.param(["bench", "all", "--processes", "1"], marks=pytest.mark.slow),
        ["bench", "rerank"],
        ["bench", "kv"],
        ["bench", "cold"],
        pytest.param(["bench", "memory"], marks=pytest.mark.slow),
    ],
)
def test_device_commands_run_without_training_packages(command: list[str], bundle_path: Path) -> None:
    more = ["--rounds", "1"] if command[0] == "bench" else []
    done = edgerec(*command, bundle_path, *more, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["schema"] == 1
    if command[0] == "verify":
        assert document["golden_cases"] > 0
    elif command[1:] in (["cold"], ["memory"]):
        assert document[command[1]]
    elif command[0] == "inspect":
        assert document["models"]["crban"]["commands"] > 0
    else:
        assert {row["name"] for row in document["results"]} >= ({"npz"} if command[1] == "kv" else {"mnn", "edgerec"})


def test_documents_are_compared_and_shown_without_training_packages(tmp_path: Path) -> None:
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    for path, seed in zip(files, (1, 2), strict=True):
        path.write_text(json.dumps(bench_document([row("mnn", 1.0, seed=seed)]).to_json()))
    compared = edgerec("bench", "compare", *files)
    assert (compared.returncode, compared.stderr) == (0, "")
    assert "Verdict: same" in compared.stdout
    shown = edgerec("bench", "report", *files, "--markdown", tmp_path / "report.md")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "hubsm_ie" in shown.stdout
    page = edgerec("bench", "report", *files, "--html", tmp_path / "page.html")
    assert page.stderr == "edgerec: plotly is not installed: run pip install 'edgerec[report]'\n"


def test_a_kit_is_made_without_training_packages(bundle_path: Path, tmp_path: Path) -> None:
    done = edgerec("kit", bundle_path, "--out", tmp_path / "kit.tar.gz")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "kit.tar.gz").stat().st_size > 0


def test_a_missing_package_for_signatures_is_reported_with_the_install_command(
    bundle_path: Path, tmp_path: Path
) -> None:
    (tmp_path / "public.pem").touch()
    done = edgerec("verify", bundle_path, "--public-key", tmp_path / "public.pem")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "edgerec: cryptography is not installed: run pip install 'edgerec[signing]'\n"


def test_public_keys_are_checked_without_training_packages(
    bundle_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing signature and a faulty key are errors of one line. A signed bundle is accepted."""
    monkeypatch.setenv(WITH, "cryptography")
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "public.pem").write_bytes(public)
    (tmp_path / "text.pem").write_text("hello")
    bundle = Path(shutil.copytree(bundle_path, tmp_path / "bundle"))
    for name, message in (
        ("public.pem", "is not signed, but a signature is required"),
        ("text.pem", "is not an Ed25519 key in PEM"),
        ("none.pem", "No such file"),
    ):
        run = edgerec if name == "public.pem" else edgerec_here
        done = run("verify", bundle, "--public-key", tmp_path / name)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
        assert message in done.stderr
    sign_bundle(bundle, SigningKey(key))
    for run, command in ((edgerec, "verify"), (edgerec_here, "inspect")):
        done = run(command, bundle, "--public-key", tmp_path / "public.pem")
        assert (done.returncode, done.stderr) == (0, "")
        assert "valid" in done.stdout


def test_missing_peers_are_left_out_and_reported(bundle_path: Path) -> None:
    done = edgerec("bench", "step", bundle_path, "--peers", "--rounds", "1", "--json")
    assert done.returncode == 0, done.stderr
    assert "peer onnxruntime is not measured: onnxruntime is not installed; pip install onnxruntime" in done.stderr
    assert {row["name"] for row in json.loads(done.stdout)["results"]} == {"mnn", "edgerec"}


def test_missing_redis_is_reported_with_the_install_command(bundle_path: Path) -> None:
    done = edgerec("bench", "kv", bundle_path, "--redis", "redis://127.0.0.1:1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "edgerec: redis is not installed: run pip install 'edgerec[cloud]'\n"


@pytest.mark.parametrize("more", [[], pytest.param(["--json"], marks=pytest.mark.slow)])
def test_verify_works_with_a_closed_standard_output(more: list[str], bundle_path: Path) -> None:
    """`edgerec verify BUNDLE >&-` prints nothing, but its exit code still tells the result."""
    command = [sys.executable, "-m", "edgerec", "verify", str(bundle_path), *more]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, preexec_fn=lambda: os.close(1))
    assert (done.returncode, done.stderr) == (0, "")
