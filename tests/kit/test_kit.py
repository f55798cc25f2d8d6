from __future__ import annotations

import base64
import configparser
import csv
import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from edgerec.bundle.verify import verify_bundle
from edgerec.kit.archive import FOLDER
from edgerec.kit.build import build_kit
from edgerec.kit.versions import PYTHONS, pinned
from edgerec.kit.wheel import build_wheel, wheel_name
from tests.command_line import document, edgerec_here, error_line

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def kit(bundle_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a kit of the small bundle, unpacked."""
    folder = tmp_path_factory.mktemp("kit")
    build_kit(bundle_path, folder / "kit.tar.gz")
    with tarfile.open(folder / "kit.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder / FOLDER


def test_the_kit_contains_the_whole_bundle_and_it_verifies(bundle_path: Path, kit: Path) -> None:
    def contents(folder: Path) -> dict[str, bytes]:
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    assert contents(kit / "bundle") == contents(bundle_path)
    assert verify_bundle(kit / "bundle")["raw_values"] == "valid"
    assert {path.name for path in kit.iterdir()} == {
        "README.md",
        "bundle",
        "constraints.txt",
        "kit.json",
        "run.sh",
        wheel_name(),
    }
    assert os.access(kit / "run.sh", os.X_OK)


def test_signatures_stay_in_the_kit(bundle_path: Path, tmp_path: Path) -> None:
    bundle = shutil.copytree(bundle_path, tmp_path / "bundle")
    for folder in (bundle, bundle / "device", bundle / "cloud"):
        (folder / "manifest.json.sig").write_bytes(bytes(64))
    build_kit(bundle, tmp_path / "kit.tar.gz")
    with tarfile.open(tmp_path / "kit.tar.gz") as archive:
        found = {name.removeprefix(f"{FOLDER}/bundle/") for name in archive.getnames() if name.endswith(".sig")}
    assert found == {"manifest.json.sig", "device/manifest.json.sig", "cloud/manifest.json.sig"}


def test_equal_inputs_give_equal_bytes_and_force_replaces_only_a_kit(bundle_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "kit.tar.gz"
    first = document(edgerec_here("kit", bundle_path, "--out", out, "--json"))
    content = out.read_bytes()
    assert (first["bytes"], first["bundle_files"] > 10, first["wheels"]) == (len(content), True, [])
    assert "exists already" in error_line(edgerec_here("kit", bundle_path, "--out", out))
    out.touch()
    assert document(edgerec_here("kit", bundle_path, "--out", out, "--force", "--json")) == first
    assert out.read_bytes() == content
    out.write_bytes(b"mine")
    assert "is not a kit of EdgeRec" in error_line(edgerec_here("kit", bundle_path, "--out", out, "--force"))
    assert out.read_bytes() == b"mine"


def test_bad_input_is_one_line_and_leaves_nothing(bundle_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "kit.tar.gz"
    assert "has no manifest.json" in error_line(edgerec_here("kit", tmp_path, "--out", tmp_path.parent / "k.tar.gz"))
    assert "is inside" in error_line(edgerec_here("kit", bundle_path, "--out", bundle_path / "kit.tar.gz"))
    line = error_line(edgerec_here("kit", bundle_path, "--out", out, "--wheels", "armv7l-3.11"))
    assert "--wheels should be one of x86_64-3.10, " in line
    bundle = shutil.copytree(bundle_path, tmp_path / "bundle")
    (bundle / "device" / "crban.mnn").write_bytes(b"damaged")
    assert "bytes instead of" in error_line(edgerec_here("kit", bundle, "--out", out))
    assert "end with .tar.gz or .tgz" in error_line(edgerec_here("kit", bundle_path, "--out", tmp_path / "k.zip"))
    assert list(tmp_path.iterdir()) == [bundle]


def test_wheels_that_pip_cannot_download_are_an_error(
    bundle_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    line = error_line(edgerec_here("kit", bundle_path, "--out", tmp_path / "k.tar.gz", "--wheels", "aarch64-3.12"))
    assert "cannot download the wheels for aarch64 and Python 3.12" in line
    assert not list(tmp_path.iterdir())


def test_the_wheel_lists_the_hash_of_each_file_of_the_package() -> None:
    with zipfile.ZipFile(io.BytesIO(build_wheel())) as wheel:
        files = {name: wheel.read(name) for name in wheel.namelist()}
    record = next(name for name in files if name.endswith("/RECORD"))
    rows = list(csv.reader(io.StringIO(files[record].decode())))
    assert [row[0] for row in rows] == list(files)
    for name, digest, size in rows[:-1]:
        expected = base64.urlsafe_b64encode(hashlib.sha256(files[name]).digest()).rstrip(b"=").decode()
        assert (digest, size) == (f"sha256={expected}", str(len(files[name])))
    tracked = {str(path.relative_to(ROOT)) for path in (ROOT / "edgerec").rglob("*.py")}
    assert tracked <= set(files)
    assert not [name for name in files if "__pycache__" in name]


def test_a_wheel_of_a_pip_installed_package_makes_the_same_wheel(tmp_path: Path) -> None:
    (tmp_path / wheel_name()).write_bytes(build_wheel())
    installed = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check"]
    subprocess.run([*pip, "--no-compile", "--target", installed, tmp_path / wheel_name()], check=True)
    code = "import sys; from edgerec.kit.wheel import build_wheel; sys.stdout.buffer.write(build_wheel())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
    )
    assert done.stdout == build_wheel(), done.stderr


def test_every_file_of_the_package_is_installed() -> None:
    """setup.cfg names the kinds of files that are not Python. The proof `wheel` compares with a real wheel."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    package = ROOT / "edgerec"
    patterns = [pattern.strip() for pattern in setup["options.package_data"]["edgerec"].split(",")]
    installed = {path for pattern in patterns for path in package.glob(pattern)} | set(package.rglob("*.py"))
    with zipfile.ZipFile(io.BytesIO(build_wheel(package))) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert {str(path.relative_to(ROOT)) for path in installed} == names


def test_the_kit_pins_every_package_of_the_device_extra_as_constraints_txt_does() -> None:
    def closure(name: str, extra: str = "") -> set[str]:
        found = set()
        for text in metadata.requires(name) or []:
            requirement, _, condition = text.partition(";")
            if "extra ==" in condition and f'extra == "{extra}"' not in condition:
                continue
            if "python_version" in condition or "sys_platform" in condition or "platform_" in condition:
                continue
            needed = re.split(r"[<>=!~ \[;]", requirement)[0].lower().replace("_", "-")
            found |= {needed} | closure(needed)
        return found

    def versions(lines: list[str]) -> dict[str, str]:
        pairs = (line.lower().replace("_", "-").split("==") for line in lines if "==" in line)
        return dict(pairs)

    pins = versions(pinned("3.13"))
    assert closure("edgerec", "device") <= set(pins)
    ci = versions((ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines())
    assert pins == {name: ci[name] for name in pins}
    assert [versions(pinned(python))["numpy"] for python in PYTHONS] == ["2.2.6", "2.4.6", "2.4.6", "2.4.6"]


@pytest.mark.slow
def test_the_script_verifies_and_measures(kit: Path, tmp_path: Path) -> None:
    here = shutil.copytree(kit, tmp_path / "kit")
    # This Python has all packages already, so nothing is installed.
    programs = here / "venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "edgerec").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m edgerec "$@"\n')
    (programs / "edgerec").chmod(0o755)
    done = subprocess.run(
        ["sh", here / "run.sh", tmp_path / "phone.json"],
        env={**os.environ, "BENCH": "size", "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "parity_max_abs" in done.stdout
    assert f"the results are in {tmp_path / 'phone.json'}" in done.stdout
    assert (tmp_path / "phone.json").stat().st_size > 1000
    (here / "bundle" / "device" / "crban.mnn").write_bytes(b"damaged")
    again = subprocess.run(
        ["sh", here / "run.sh"], env={**os.environ, "PYTHON": sys.executable}, capture_output=True, text=True
    )
    assert again.returncode == 1
    assert again.stderr.rstrip().endswith("unpack the kit again")


def test_the_script_explains_its_usage_and_writes_nothing(kit: Path, tmp_path: Path) -> None:
    for option, code in (("--help", 0), ("-h", 0), ("--json", 2)):
        done = subprocess.run(["sh", kit / "run.sh", option], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == code
        assert "Usage: sh run.sh [RESULT.json]" in done.stdout + done.stderr
    assert not list(tmp_path.iterdir())


def test_the_script_needs_a_python_that_exists(kit: Path) -> None:
    done = subprocess.run(
        ["sh", kit / "run.sh"], env={**os.environ, "PYTHON": "/none/python3"}, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("run.sh: /none/python3 was not found")
    assert not (kit / "venv").exists()
