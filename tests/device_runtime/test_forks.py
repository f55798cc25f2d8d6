"""A forked process that uses a model of its parent gets an error that says to load the model again. It never hangs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.forked import run_script
from tests.mnn_models import built

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

MODELS = """
    import numpy as np
    from edgerec.device_runtime.ranker import DeviceRanker
    from edgerec.device_runtime.encodings import Encodings
    from edgerec.device_runtime.hubsm import HubsmStepper
    from edgerec.device_runtime.session import Session

    step_model, rank_model = sys.argv[1:3]
    ones = lambda *shape: np.ones(shape, np.float32)
    def run_step(stepper):
        return stepper.step(ones(stepper.action_width), ones(stepper.item_width), stepper.initial_state())
    def run_ranker(ranker):
        none = Encodings.empty(next(iter(ranker.key_widths.values())), ranker.hidden)
        return ranker.score(ones(3, ranker.candidate_width), none, none)
"""
REFUSED = "SessionError: a model should run in the process that loaded it"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("models")
    paths = folder / "step.mnn", folder / "rank.mnn"
    for path, content in zip(paths, (built().ie, built().crban), strict=True):
        path.write_bytes(content)
    return paths


@pytest.mark.parametrize("what", ["run_step(HubsmStepper(step_model))", "run_ranker(DeviceRanker(rank_model))"])
def test_a_process_forked_during_a_run_gets_an_error_and_can_load_the_model(
    what: str, models: tuple[Path, Path]
) -> None:
    function, model = what.rstrip(")").split("(", 1)
    script = f"""
    model = {model})
    for said in while_busy(lambda: {function}(model)):
        print(said, file=sys.stderr)
    same = all(np.array_equal(*pair) for pair in zip({function}({model})), {function}(model), strict=True))
    print("loaded again:", child(lambda: {what}), same, file=sys.stderr)
    """
    *said, again = run_script(MODELS + script, *models)
    assert len(said) == 12
    assert all(line.startswith(REFUSED) for line in said), said
    assert "load the model in the child" in said[0]
    assert again == "loaded again: done True"


def test_a_process_forked_after_mnn_created_threads_can_use_one_thread(models: tuple[Path, Path]) -> None:
    script = """
    model = Session(rank_model, threads=4)
    feed = {name: ones(*shape) for name, shape in model.inputs.items()}
    model.run(**feed)
    for work in (
        lambda: model.run(**feed),
        lambda: model.execute(),
        lambda: model.observe(**feed),
        lambda: model.commands(),
        lambda: Session(rank_model, threads=4),
        lambda: DeviceRanker(rank_model, threads=2),
        lambda: run_ranker(DeviceRanker(rank_model)),
        lambda: Session(rank_model).commands(),
    ):
        print(child(work), file=sys.stderr)
    """
    said = run_script(MODELS + script, *models)
    assert all(line.startswith(REFUSED) for line in said[:4]), said
    assert all(line.startswith("SessionError: `threads` should be 1 in this process") for line in said[4:6]), said
    assert said[6:] == ["done", "done"]


def test_a_process_forked_before_mnn_created_threads_can_use_several(models: tuple[Path, Path]) -> None:
    script = """
    model = DeviceRanker(rank_model)
    def work():
        mine = DeviceRanker(rank_model, threads=2)
        run_ranker(mine)
        print("grandchild:", child(lambda: run_ranker(mine)), file=sys.stderr)
        print("grandchild:", child(lambda: DeviceRanker(rank_model, threads=2)), file=sys.stderr)
    print(child(work), file=sys.stderr)
    run_ranker(model)
    """
    first, second, last = run_script(MODELS + script, *models)
    assert first.startswith(f"grandchild: {REFUSED}")
    assert second.startswith("grandchild: SessionError: `threads` should be 1")
    assert last == "done"


def test_a_child_that_ends_does_not_remove_files_of_its_parent(models: tuple[Path, Path]) -> None:
    """The fork happens while another thread of the parent loads a model from bytes.

    If the loader used a `TemporaryDirectory`, the child would remove it when it ends.
    """
    script = """
    from edgerec.device_runtime import interpreter
    create, written, ended = interpreter._create, threading.Event(), threading.Event()
    def waiting(path, label, threads):
        written.set()
        ended.wait()
        return create(path, label, threads)
    interpreter._create = waiting
    def load():
        Session(open(step_model, "rb").read())
        print("loaded", file=sys.stderr)
    thread = threading.Thread(target=load)
    thread.start()
    written.wait()
    if (pid := os.fork()) == 0:
        sys.exit(0)
    os.waitpid(pid, 0)
    ended.set()
    thread.join()
    """
    assert run_script(MODELS + script, *models) == ["loaded"]
