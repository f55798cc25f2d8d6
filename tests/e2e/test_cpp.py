"""The C++ example is built with MNN's headers and runs the golden cases of a bundle."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "examples" / "cpp" / "run_bundle.cpp"
HEADERS = Path(os.environ.get("MNN_ROOT", "/usr/local")) / "include"


def library() -> list[str]:
    """Return the compiler's arguments for MNN's library: that of MNN_ROOT, else the extension of the Python package.

    The extension contains the whole library, needs the library of Python, and has the older ABI of libstdc++.
    """
    folder = HEADERS.parent / "lib"
    if (folder / "libMNN.so").exists():
        return [f"-L{folder}", "-lMNN", f"-Wl,-rpath,{folder}"]
    extension = find_spec("_mnncengine")
    python = Path(sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("LDLIBRARY"))
    if extension is None or extension.origin is None or python.suffix != ".so":
        pytest.skip(
            "needs MNN's C++ library: build it from MNN's source, and set MNN_ROOT to the folder of include and lib"
        )
    paths = [f"-Wl,-rpath,{Path(extension.origin).parent}", f"-Wl,-rpath,{python.parent}"]
    return ["-D_GLIBCXX_USE_CXX11_ABI=0", extension.origin, str(python), *paths]


@pytest.mark.skipif(
    not (HEADERS / "MNN" / "Interpreter.hpp").exists(),
    reason="needs MNN's C++ headers: set MNN_ROOT to a folder that contains include/MNN of MNN's source",
)
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++: apt-get install g++")
def test_the_example_passes_the_golden_cases_and_notices_a_changed_one(bundle_path: Path, tmp_path: Path) -> None:
    program = tmp_path / "run_bundle"
    # `library` comes after the source: the linker takes only what earlier files need.
    compiler = ["g++", "-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", f"-I{HEADERS}", str(SOURCE)]
    subprocess.run([*compiler, *library(), "-o", program], check=True)
    cases = sorted((bundle_path / "golden").glob("*.npz"))

    done = subprocess.run([program, bundle_path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert f"{len(cases)} of {len(cases)} golden cases passed" in done.stdout

    bundle = shutil.copytree(bundle_path, tmp_path / "bundle")
    changed = bundle / "golden" / cases[-1].name
    with np.load(changed) as case:
        arrays = dict(case)
    arrays["logits"][0] += 0.01
    np.savez(changed, **arrays)
    done = subprocess.run([program, bundle], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"{changed.name}: other logits than in training" in done.stdout
