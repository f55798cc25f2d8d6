"""A forked process is told to load its models itself, and never hangs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.forked import run_script
from tests.mnn_models import built

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

MODELS = """
    import numpy as np
    from edgerec.device_runtime.crban import CrbanRanker
    from edgerec.device_runtime.encodings import Encodings
    from edgerec.device_runtime.hubsm import HubsmStepper
    from edgerec.device_runtime.session import Session

    step_model, rank_model = sys.argv[1:3]
    ones = lambda *shape: np.ones(shape, np.float32)
    def stepped(stepper):
        return stepper.step(ones(stepper.action_width), ones(stepper.item_width), stepper.initial_state())
    def scored(ranker):
        none = Encodings.empty(next(iter(ranker.key_widths.values())), ranker.hidden)
        return ranker.score(ones(3, ranker.item_width), none, none)
"""
REFUSED = "SessionError: a model should run in the process that loaded it"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("models")
    paths = folder / "step.mnn", folder / "rank.mnn"
    for path, content in zip(paths, (built().ie, built().crban), strict=True):
        path.write_bytes(content)
    return paths


@pytest.mark.parametrize("what", ["stepped(HubsmStepper(step_model))", "scored(CrbanRanker(rank_model))"])
def test_a_fork_while_another_thread_runs_the_model(what: str, models: tuple[Path, Path]) -> None:
    function, model = what.rstrip(")").split("(", 1)
    script = f"""
    model = {model})
    for said in while_busy(lambda: {function}(model)):
        print(said, file=sys.stderr)
    same = all(np.array_equal(*pair) for pair in zip({function}({model})), {function}(model), strict=True))
    print("loaded anew:", child(lambda: {what}), same, file=sys.stderr)
    """
    *said, anew = run_script(MODELS + script, *models)
    assert len(said) == 12
    assert all(line.startswith(REFUSED) for line in said), said
    assert "load the model in the child" in said[0]
    assert anew == "loaded anew: done True"


def test_a_fork_after_mnn_has_made_its_threads(models: tuple[Path, Path]) -> None:
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
        lambda: CrbanRanker(rank_model, threads=2),
        lambda: scored(CrbanRanker(rank_model)),
        lambda: Session(rank_model).commands(),
    ):
        print(child(work), file=sys.stderr)
    """
    said = run_script(MODELS + script, *models)
    assert all(line.startswith(REFUSED) for line in said[:4]), said
    assert all(line.startswith("SessionError: `threads` should be 1 in this process") for line in said[4:6]), said
    assert said[6:] == ["done", "done"]


def test_a_fork_before_mnn_has_threads_may_have_its_own(models: tuple[Path, Path]) -> None:
    script = """
    model = CrbanRanker(rank_model)
    def work():
        mine = CrbanRanker(rank_model, threads=2)
        scored(mine)
        print("grandchild:", child(lambda: scored(mine)), file=sys.stderr)
        print("grandchild:", child(lambda: CrbanRanker(rank_model, threads=2)), file=sys.stderr)
    print(child(work), file=sys.stderr)
    scored(model)
    """
    first, second, last = run_script(MODELS + script, *models)
    assert first.startswith(f"grandchild: {REFUSED}")
    assert second.startswith("grandchild: SessionError: `threads` should be 1")
    assert last == "done"


def test_a_child_that_ends_leaves_its_parents_files_alone(models: tuple[Path, Path]) -> None:
    """A fork while another thread loads from bytes; `TemporaryDirectory` removes its folder when the child ends."""
    script = """
    from edgerec.device_runtime import session
    create, written, ended = session._create, threading.Event(), threading.Event()
    def waiting(path, label, threads):
        written.set()
        ended.wait()
        return create(path, label, threads)
    session._create = waiting
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
