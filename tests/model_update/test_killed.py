"""A process that is killed at any write of an installation or a switch starts with a complete version."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgerec.device_runtime.store.behaviour_store import BehaviourStore
from edgerec.features.behaviours import EXPOSURE
from edgerec.model_update.folder import ModelFolder
from edgerec.model_update.state import StateFile
from tests.device_runtime.version_cloud import VersionCloud
from tests.model_update.model_server import model_server
from tests.model_update.test_updater import Device

WRITES = 1000
"""More than an installation and a switch have."""


class KilledError(BaseException):
    """Nothing of EdgeRec catches it, so nothing is written after it."""


class Killer:
    """Ends the process before or after its n-th write, as SIGKILL would."""

    def __init__(self, patch: pytest.MonkeyPatch, number: int) -> None:
        self.left, self.names = number, list[str]()
        for owner, name in (
            (Path, "rename"),
            (Path, "replace"),
            (StateFile, "write"),
            (BehaviourStore, "adopt"),
            (ModelFolder, "commit"),
        ):
            patch.setattr(owner, name, self.around(getattr(owner, name), name))

    def around(self, call: Callable[..., Any], name: str) -> Callable[..., Any]:
        def killed(*arguments: Any, **more: Any) -> Any:
            self.step(f"before {name}")
            result = call(*arguments, **more)
            self.step(f"after {name}")
            return result

        return killed

    def step(self, name: str) -> None:
        self.left -= 1
        self.names.append(name)
        if self.left < 0:
            raise KilledError(name)


@pytest.mark.parametrize("part", [None, *(pytest.param(part, marks=pytest.mark.slow) for part in range(4))])
def test_a_kill_at_any_write_leaves_a_complete_version(
    bundle_path: Path, plus_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: int | None
) -> None:
    """Without `slow`, only a kill between the two writes of the switch is tested."""
    cloud, ends = VersionCloud(bundle_path, plus_path / "bundle"), list[str]()
    with model_server() as server:
        server.offer(plus_path / "bundle")

        def killed_at(number: int) -> list[str]:
            """Kill a device at a write, start it again, and let it finish. Return all writes until then."""
            device = Device(tmp_path / str(number), cloud, server)
            device.folder.mkdir()
            device.shipped = bundle_path
            device.start()
            device.scroll(3)
            count = device.store.next_ordinal(EXPOSURE)
            try:
                with monkeypatch.context() as patch:
                    killer = Killer(patch, number)
                    device.switch()
            except KilledError as killed:
                ends.append(str(killed))
            # The killed process does nothing more. Only its locks end.
            device.store._database.close()
            device.models.close()
            device.transport.close()
            device.start()
            assert device.client.version_id in cloud.models
            assert device.store.encoded_versions() <= {device.client.version_id}
            assert device.store.next_ordinal(EXPOSURE) >= count
            device.switch()
            device.scroll(1)
            assert device.client.version_id == list(cloud.models)[1]
            assert device.models.installed() == [device.client.version_id]
            device.stop()
            return killer.names

        writes = killed_at(WRITES)
        assert len(writes) < WRITES
        at = writes.index("before adopt")
        numbers = [at + 1] if part is None else range(part, len(writes), 4)
        for number in numbers:
            killed_at(number)
    assert ends == [writes[number] for number in numbers]
