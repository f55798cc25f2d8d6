from __future__ import annotations

from pathlib import Path

import pytest

from edgerec.core.errors import OutputError
from edgerec.kit.archive import Member, write_archive


def test_a_name_that_an_archive_cannot_hold_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot hold a file with the name 'bundle/aaa") as caught:
        write_archive(tmp_path / "kit.tar.gz", [Member("kit.json", b"{}"), Member(f"bundle/{'a' * 101}", b"")])
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
