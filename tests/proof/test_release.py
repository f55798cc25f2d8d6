from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "release"


def test_only_a_clean_clone_of_the_tag_of_its_version_is_released(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    shutil.copy(SCRIPT, tmp_path / "scripts")
    # The first thing that the script does after its checks.
    (tmp_path / "scripts" / "environment").write_text("exit 42\n", "utf-8")
    (tmp_path / "edgerec").mkdir()
    version = tmp_path / "edgerec" / "__init__.py"
    version.write_text('"""EdgeRec."""\n\n__version__ = "1.2.3"\n', "utf-8")

    def git(*arguments: str) -> None:
        settings = (
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@b.c",
            "-c",
            "commit.gpgsign=false",
            "-c",
            "tag.gpgsign=false",
        )
        subprocess.run(["git", *settings, *arguments], cwd=tmp_path, check=True, capture_output=True)

    def release() -> tuple[int, str]:
        done = subprocess.run([tmp_path / "scripts" / "release"], capture_output=True, text=True, check=False)
        return done.returncode, done.stderr

    git("init", "--quiet")
    git("add", "--all")
    git("commit", "--quiet", "--message", "Release 1.2.3")
    git("tag", "--annotate", "v1.2.2", "--message", "an earlier one")
    code, error = release()
    assert code == 1
    assert "should have the annotated tag v1.2.3" in error
    git("tag", "--annotate", "v1.2.3", "--message", "EdgeRec 1.2.3")
    assert release()[0] == 42
    version.write_text('__version__ = "1.2.4"\n', "utf-8")
    code, error = release()
    assert code == 1
    assert "not committed" in error
