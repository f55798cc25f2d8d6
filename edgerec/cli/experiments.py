"""The commands of experiments in a simulated world: `abtest` and `loop`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from edgerec.cli.command import need
from edgerec.cli.keys import load_key
from edgerec.cli.options import (
    PATH,
    WholeNumber,
    check_needed,
    config_option,
    force_option,
    json_option,
    out_option,
    processes_option,
    public_key_option,
    resume_option,
)
from edgerec.cli.output import emit
from edgerec.cli.tensorflow import import_tensorflow

if TYPE_CHECKING:
    from edgerec.simulation.closed_loop.blocks import Design


@click.command()
@click.argument("bundles", metavar="BUNDLE...", nargs=-1, required=True, type=PATH)
@out_option("results")
@click.option(
    "--world",
    type=PATH,
    help="Folder of logs that `edgerec simulate` wrote: the world on which the bundles were trained. Default: the "
    "default world with seed 1.",
)
@click.option(
    "--users",
    type=WholeNumber(20, 1_000_000),
    default=2000,
    show_default=True,
    help="Number of users: in each bucket if the design is paired, in all buckets together if it is split.",
)
@click.option(
    "--design",
    type=click.Choice(["paired", "split"]),
    default="paired",
    show_default=True,
    help="paired: every user is in every bucket, with the same random numbers. split: each user is in one bucket, as "
    "in a company's test, after a pre-period without EdgeRec.",
)
@click.option(
    "--pre-days", type=WholeNumber(0, 3650), help="Days of the pre-period. Default: half of the days if split."
)
@click.option("--buckets", "file", type=PATH, help="TOML file with further buckets (docs/experiments.md).")
@click.option(
    "--primary",
    type=click.Choice(["pv", "ctr", "click", "gmv"]),
    default="click",
    show_default=True,
    help="The primary metric. The p-values of the other metrics are adjusted.",
)
@click.option(
    "--mix",
    is_flag=True,
    help="Compare policies of mixing instead of buckets, at an equal share of scarce cards (docs/mixing.md). BUNDLE "
    "has rules, and --world is a mixed world.",
)
@click.option(
    "--policies",
    default="fixed,greedy,page,price,hindsight",
    show_default=True,
    help="With --mix: the policies. The first one is the control.",
)
@click.option(
    "--share",
    "shares",
    metavar="KIND=SHARE",
    multiple=True,
    help="With --mix: the share of a kind to which all policies are set. Default: the kind with the smallest upper "
    "bound in the rules, at this bound.",
)
@click.option(
    "--pilot-users",
    type=WholeNumber(20, 1_000_000),
    default=200,
    show_default=True,
    help="With --mix: number of users of a pilot run. Pilot runs set the policies to equal shares.",
)
@click.option("--logs", is_flag=True, help="Keep the logs that devices send, for `edgerec samples` or `off-policy`.")
@click.option(
    "--server",
    is_flag=True,
    help="Give each bucket a server process, to which devices talk over HTTP, and keep the logs. Default: the cloud is "
    "in the same process, which is faster.",
)
@public_key_option
@processes_option
@resume_option("an interrupted test")
@force_option
@json_option
def abtest(
    bundles: tuple[Path, ...],
    out: Path,
    world: Path | None,
    users: int,
    design: Design,
    pre_days: int | None,
    file: Path | None,
    primary: str,
    mix: bool,
    policies: str,
    shares: tuple[str, ...],
    pilot_users: int,
    logs: bool,
    server: bool,
    public_key: Path | None,
    processes: int | None,
    resume: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Simulate an A/B test: users with and without EdgeRec, in a simulated world.

    The control `cloud` has pages of 50 in the cloud's order. The first BUNDLE is the treatment. Each further BUNDLE is
    one more bucket, for example an ablation. Devices are real clients with real models. The result is a folder with
    tables, JSON, Markdown and a page. It says something about the simulated world only.

    With --mix, the buckets are policies of mixing (how kinds of cards share the feed), all with the one BUNDLE.
    """
    need("experiments", "polars", "MNN", "psutil", "fastapi", "uvicorn", "tea_tasting", "plotly", "jinja2")
    key = load_key(public_key)
    if mix:
        _check_mix_options(bundles, design=design, pre_days=pre_days, file=file, logs=logs, server=server)
    else:
        for name in ("policies", "shares", "pilot_users"):
            check_needed(name, "--mix", None)
    from edgerec.bundle.manifest_file import read_bundle_manifest
    from edgerec.core.atomic import check_output
    from edgerec.core.resumable import check_unfinished, resumable

    kind = "mix_test" if mix else "ab_test"
    check_output(out, force=force, kind=kind, inputs=[*bundles, *([world] if world is not None else [])])
    check_unfinished(out, resumable(kind), force=force, resume=resume)
    for bundle in bundles:
        read_bundle_manifest(bundle, public_key=key)  # The imports below take seconds, so refuse another folder before.
    if mix:
        from edgerec.cli.tables.mix_test import mix_test_table
        from edgerec.simulation.closed_loop.read_world import read_world
        from edgerec.simulation.mix_test.run import run_mix_test

        document: dict[str, Any] = run_mix_test(
            read_world(world),
            bundles[0],
            out,
            users=users,
            policies=tuple(name.strip() for name in policies.split(",")),
            goals=_shares(shares),
            pilot_users=pilot_users,
            processes=processes,
            public_key=key,
            force=force,
            resume=resume,
        )
        emit(document, as_json=as_json, table=mix_test_table(document))
        return
    from edgerec.cli.tables.ab_test import ab_test_table
    from edgerec.simulation.ab_test.buckets import make_buckets
    from edgerec.simulation.ab_test.run import run_ab_test
    from edgerec.simulation.closed_loop.read_world import read_world

    document = run_ab_test(
        read_world(world),
        make_buckets(bundles, file),
        out,
        users=users,
        design=design,
        pre_days=pre_days,
        logs=logs,
        servers=server,
        primary=primary,
        processes=processes,
        public_key=key,
        force=force,
        resume=resume,
    )
    emit(document, as_json=as_json, table=ab_test_table(document))


def _check_mix_options(
    bundles: tuple[Path, ...], *, design: str, pre_days: int | None, file: Path | None, logs: bool, server: bool
) -> None:
    """Check that the options of `abtest` go together with --mix.

    Raises:
        click.UsageError: they do not.
    """
    if len(bundles) > 1:
        raise click.UsageError(f"with --mix there is one BUNDLE for all policies; received {len(bundles)}")
    source = click.get_current_context().get_parameter_source("primary")
    given = {
        "--primary": source not in (None, ParameterSource.DEFAULT),
        "--design split": design == "split",
        "--pre-days": pre_days is not None,
        "--buckets": file is not None,
        "--logs": logs,
        "--server": server,
    }
    if wrong := [name for name, found in given.items() if found]:
        raise click.UsageError(f"{wrong[0]} cannot be used with --mix")


def _shares(given: tuple[str, ...]) -> dict[str, float]:
    """Return the shares of options KIND=SHARE.

    Raises:
        click.UsageError: one has another form.
    """
    found = {}
    for each in given:
        kind, _, share = each.partition("=")
        try:
            found[kind] = float(share)
        except ValueError:
            raise click.UsageError(f"--share should be KIND=SHARE, for example ad=0.1; received {each!r:.80}") from None
    return found


@click.command()
@click.argument("run", required=False, type=PATH)
@out_option("results")
@click.option("--rounds", type=WholeNumber(1, 100), default=3, show_default=True, help="Number of rounds.")
@click.option(
    "--users",
    type=WholeNumber(20, 1_000_000),
    default=2000,
    show_default=True,
    help="Number of users in each bucket of a round.",
)
@click.option(
    "--world",
    type=PATH,
    help="Folder of logs that `edgerec simulate` wrote: the world, and the one on which RUN was trained. Default: the "
    "default world with seed 1.",
)
@config_option("settings of the first training (docs/training.md).")
@click.option("--server", is_flag=True, help="Let devices talk to server processes over HTTP, which takes much longer.")
@processes_option
@resume_option("after the last finished step")
@force_option
@json_option
def loop(
    run: Path | None,
    out: Path,
    rounds: int,
    users: int,
    world: Path | None,
    config: Path | None,
    server: bool,
    processes: int | None,
    resume: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Close the loop: logs of devices train the next model, round after round.

    The first model is RUN, or one that is trained on simulated logs. Each round is an A/B test in the next
    period of the world, with new users: the control, the newest model and the first model. The logs of the newest
    model's devices train the model of the next round further.
    """
    need("experiments", "polars", "MNN", "psutil", "fastapi", "uvicorn", "tea_tasting", "plotly", "jinja2")
    need("all", "tensorflow", "onnx", "onnxruntime")
    from edgerec.core.atomic import check_output

    check_output(out, force=force, kind="loop", inputs=[each for each in (run, world) if each is not None])
    if run is not None and config is not None:
        raise click.UsageError("--config has the settings of the first training, but RUN is trained already")
    import_tensorflow()
    from edgerec.cli.tables.loop import loop_table
    from edgerec.model.config import load_config
    from edgerec.simulation.closed_loop.read_world import read_world
    from edgerec.simulation.loop.run import LoopSettings, run_loop

    document: dict[str, Any] = run_loop(
        read_world(world),
        out,
        LoopSettings(rounds, users, servers=server, processes=processes),
        run=run,
        config=None if config is None else load_config(config, {}),
        force=force,
        resume=resume,
    )
    emit(document, as_json=as_json, table=loop_table(document))
