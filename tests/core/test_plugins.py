"""Tests of entry points of other packages."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgerec.core import plugins
from edgerec.core.errors import PluginError


def test_what_a_group_needs_is_done_before_its_entry_points_are_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command line imports TensorFlow so, without its messages."""
    information = tmp_path / "needing-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: needing\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[edgerec.tested]\nneeding = needing_module:DONE\n")
    (tmp_path / "needing_module.py").write_text("import edgerec.core.plugins as p\nDONE = list(p.done)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(plugins, "done", [], raising=False)

    def fails() -> None:
        raise ImportError("no engine")

    monkeypatch.setitem(plugins.before_import, "edgerec.tested", fails)
    with pytest.raises(PluginError, match=r"cannot be imported \(ImportError: no engine\)"):
        plugins.load_plugin("edgerec.tested", "needing")
    monkeypatch.setitem(plugins.before_import, "edgerec.tested", lambda: plugins.done.append("first"))  # type: ignore[attr-defined]
    assert plugins.load_plugin("edgerec.tested", "absent") is None
    assert plugins.load_plugin("edgerec.tested", "needing") == ["first"]
