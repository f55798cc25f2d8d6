"""The command line: parses, imports inside the command, calls one function.

Results go to stdout (a table; JSON with ``--json``), progress and logs to stderr. Exit codes: 0 done, 1 an expected
error or a failed check, 2 usage, 130 interrupted.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Literal

import click

from edgerec import __version__
from edgerec.core.command import PATH, force_option, json_option, need, out_option, processes_option, run


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="edgerec")
def cli() -> None:
    """Train a feed's re-ranker, split it, convert it to MNN and run it on the user's device."""


@cli.group(name="import")
def import_group() -> None:
    """Turn a public data set into logs."""


@import_group.command(name="ebnerd")
@click.argument("source", type=PATH)
@out_option("logs")
@force_option
@json_option
def import_ebnerd_command(source: Path, out: Path, force: bool, as_json: bool) -> None:
    """EB-NeRD (news, Ekstra Bladet): SOURCE is the folder that holds train/ and validation/."""
    need("train", "polars")
    from edgerec.core.atomic import check_output
    from edgerec.data.logs import write_logs
    from edgerec.data.sources.ebnerd import import_ebnerd

    check_output(out, force=force, kind="logs")
    start = time.perf_counter()
    logs = import_ebnerd(source)
    write_logs(logs, out, force=force)
    _emit({"logs": str(out), **logs.counts(), "seconds": time.perf_counter() - start}, as_json)


@import_group.command(name="kuairand")
@click.argument("source", type=PATH)
@out_option("logs")
@force_option
@json_option
def import_kuairand_command(source: Path, out: Path, force: bool, as_json: bool) -> None:
    """KuaiRand-Pure (short video, Kuaishou): SOURCE is the folder that holds two splits by time and the videos."""
    need("train", "polars")
    from edgerec.core.atomic import check_output
    from edgerec.data.logs import write_logs
    from edgerec.data.sources.kuairand import import_kuairand

    check_output(out, force=force, kind="logs")
    start = time.perf_counter()
    logs, duplicates = import_kuairand(source)
    write_logs(logs, out, force=force)
    seconds = time.perf_counter() - start
    _emit({"logs": str(out), **logs.counts(), "duplicates": duplicates, "seconds": seconds}, as_json)


@import_group.command(name="taobao-mcc")
@click.argument("source", type=PATH)
@out_option("logs")
@click.option(
    "--latest",
    type=click.Choice(["first", "last"]),
    default="last",
    show_default=True,
    help="End of a behaviour sequence at which the latest behaviour stands.",
)
@force_option
@json_option
def import_taobao_mcc_command(
    source: Path, out: Path, latest: Literal["first", "last"], force: bool, as_json: bool
) -> None:
    """Taobao-MCC (Tianchi 109858): SOURCE is the folder that holds the two files Part1-taobao_open_mcc_*.csv."""
    need("train", "polars")
    from edgerec.data.sources.taobao_mcc import import_taobao_mcc

    start = time.perf_counter()
    counts = import_taobao_mcc(source, out, latest=latest, force=force)
    _emit({"logs": str(out), **counts, "seconds": time.perf_counter() - start}, as_json)


@cli.command()
@out_option("logs")
@click.option("--config", type=PATH, help="TOML file with parameters of docs/simulator.md.")
@click.option("--users", type=int, help="Users of the world.")
@click.option("--items", type=int, help="Items of its catalogue.")
@click.option("--days", type=int, help="Days to simulate.")
@click.option("--seed", type=int, default=1, show_default=True, help="Same seed, same bytes.")
@processes_option
@click.option("--resume", is_flag=True, help="Go on with a stopped simulation of the same parameters.")
@force_option
@json_option
def simulate(
    out: Path,
    config: Path | None,
    seed: int,
    processes: int | None,
    resume: bool,
    force: bool,
    as_json: bool,
    **sizes: int | None,
) -> None:
    """Write seeded logs of a simulated feed, with the ground truth kept apart."""
    need("train", "polars")
    from edgerec.core.parallel import cores
    from edgerec.simulation.config import load_simulation_config
    from edgerec.simulation.population import simulate as run_simulation

    start = time.perf_counter()
    world = load_simulation_config(config, sizes)
    counts = run_simulation(world, out, seed=seed, processes=processes or cores(), force=force, resume=resume)
    seconds = time.perf_counter() - start
    speed = _speed(counts["exposures"], seconds, resume)
    _emit({"logs": str(out), **counts, "seconds": seconds, **speed}, as_json)


@cli.command()
@click.argument("logs", type=PATH)
@out_option("samples")
@click.option("--features", type=PATH, help="Feature specification; default: the logs' own features.json.")
@click.option("--candidates", type=int, default=100, show_default=True, help="Longest list; a longer one is an error.")
@click.option("--exposures", type=int, default=100, show_default=True, help="Latest exposures that a request reads.")
@click.option("--page-views", type=int, default=50, show_default=True, help="Latest page-views that a request reads.")
@click.option(
    "--test-from",
    type=int,
    help="Where the test period begins, in milliseconds since 1970; default: as the logs say, else the last fifth.",
)
@click.option("--validation-fraction", type=float, default=0.1, show_default=True, help="Share held out before it.")
@processes_option
@click.option("--resume", is_flag=True, help="Go on with stopped work of the same logs and settings.")
@force_option
@json_option
def samples(
    logs: Path,
    out: Path,
    features: Path | None,
    candidates: int,
    exposures: int,
    page_views: int,
    test_from: int | None,
    validation_fraction: float,
    processes: int | None,
    resume: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Make training, validation and test samples from LOGS, split by time."""
    need("train", "polars")
    from edgerec.core.parallel import cores
    from edgerec.data.build_samples import write_samples

    start = time.perf_counter()
    built = write_samples(
        logs,
        out,
        features=features,
        limits={"candidates": candidates, "exposures": exposures, "page_views": page_views},
        test_from=test_from,
        validation_fraction=validation_fraction,
        processes=processes or cores(),
        force=force,
        resume=resume,
    )
    counts, seconds = built.counts(), time.perf_counter() - start
    speed = _speed(counts["behaviours"]["exposures"], seconds, resume)
    _emit({"samples": str(out), **counts, "seconds": seconds, **speed}, as_json)


@cli.command()
@click.argument("logs", type=PATH)
@click.option("--against", type=PATH, help="Other logs, to set beside them as the reference.")
@click.option("--html", type=PATH, help="Also write a page with plots to this file; it opens without a network.")
@processes_option
@force_option
@json_option
def stats(
    logs: Path, against: Path | None, html: Path | None, processes: int | None, force: bool, as_json: bool
) -> None:
    """Click rates, known behaviours, actions and activity in LOGS."""
    need("train", "polars", *(["plotly", "jinja2"] if html else []))
    from edgerec.core.parallel import cores
    from edgerec.data.statistics.document import stats_document
    from edgerec.data.statistics.report import check_report, stats_table, write_report

    if html is not None:
        check_report(html, force=force)
    start = time.perf_counter()
    document = stats_document(logs, against=against, processes=processes or cores())
    if html is not None:
        write_report(document, html, force=force)
    seconds = time.perf_counter() - start
    result = {**document, "html": None if html is None else str(html), "seconds": seconds}
    _emit(result, as_json, table=None if as_json else stats_table(document))


@cli.command()
@click.argument("samples", type=PATH)
@out_option("run")
@click.option("--config", type=PATH, help="TOML file with the settings of docs/training.md.")
@click.option("--model", help="Model of the registry.")
@click.option("--epochs", type=int, help="At most so many epochs.")
@click.option("--batch-size", type=int, help="Requests a step.")
@click.option("--seed", type=int, help="Of weights, batches and hidden identities.")
@click.option("--tensorboard", type=PATH, help="Also write TensorBoard's event files to this folder.")
@click.option("--resume", is_flag=True, help="Go on with a stopped training of the same configuration.")
@force_option
@json_option
def train(
    samples: Path,
    out: Path,
    config: Path | None,
    tensorboard: Path | None,
    resume: bool,
    force: bool,
    as_json: bool,
    **overrides: Any,
) -> None:
    """Train a model on SAMPLES, with checkpoints and early stopping."""
    need("train", "polars", "tensorflow")
    from edgerec.core.atomic import check_output
    from edgerec.data.samples import load_samples
    from edgerec.model.config import load_config

    settings = load_config(config, overrides)
    check_output(out, force=force, kind="run")
    opened = load_samples(samples)
    _import_tensorflow()
    from edgerec.model.training import train as run_training

    head = run_training(
        opened, settings, out, samples_path=samples, force=force, resume=resume, tensorboard=tensorboard
    ).head
    _emit(
        {
            "run": str(out),
            "version_id": head.version_id,
            "model": head.config.model,
            "best_epoch": head.best_epoch,
            "validation_gauc": head.validation_gauc,
            "parameters": head.parameters,
            "train_seconds": head.train_seconds,
        },
        as_json,
    )


@cli.command()
@click.argument("paths", type=PATH, nargs=-1, required=True, metavar="[RUN] SAMPLES")
@click.option(
    "--split",
    type=click.Choice(["train", "validation", "test"]),
    default="test",
    show_default=True,
    help="Period whose requests are ranked.",
)
@click.option("--oracle", is_flag=True, help="Simulated logs: also rank by the truth, and by the last category opened.")
@click.option("--logs", type=PATH, help="Where the logs of the samples stand now, for --oracle.")
@json_option
def evaluate(paths: tuple[Path, ...], split: str, oracle: bool, logs: Path | None, as_json: bool) -> None:
    """GAUC and other figures of RUN on SAMPLES, with what it has to beat; without RUN the latter alone."""
    if logs is not None and not oracle:
        raise click.UsageError("--logs says where --oracle finds the truth: give both")
    if len(paths) > 2:
        raise click.UsageError(f"evaluate takes a run and samples, or samples alone; received {len(paths)} folders")
    need("train", "polars", *(["tensorflow"] if len(paths) == 2 else []))
    from edgerec.data.samples import load_samples
    from edgerec.model.baselines import baselines_document, baselines_table

    opened = load_samples(paths[-1])
    reached = _oracle(opened, logs, split) if oracle else {}
    if len(paths) == 1:
        document = baselines_document(opened, split, oracle=reached)
        _emit(document, as_json, table=baselines_table(document))
        return
    _import_tensorflow()
    from edgerec.model.evaluation import evaluate as run_evaluation
    from edgerec.model.evaluation import evaluation_table
    from edgerec.model.runs import load_run

    document = run_evaluation(load_run(paths[0]), opened, split=split, oracle=reached)
    _emit(document, as_json, table=evaluation_table(document))


@cli.command()
@click.argument("samples", type=PATH)
@out_option("ablation")
@click.option("--seeds", type=int, default=3, show_default=True, help="Each model is trained with seeds 1 to N.")
@click.option("--models", help="Names with commas between; DLCM is always among them. Default: all of the registry.")
@click.option("--config", type=PATH, help="TOML file as for train; tables [models.NAME] for single models.")
@click.option("--split", type=click.Choice(["validation", "test"]), default="test", show_default=True, help="To rank.")
@click.option("--peers", is_flag=True, help="Put LightGBM into the table, on the inputs of crban_plus.")
@click.option(
    "--oracle", is_flag=True, help="Simulated logs: the share of the gap to the truth that each model closes."
)
@click.option("--logs", type=PATH, help="Where the logs of the samples stand now, for --oracle.")
@click.option("--resume", is_flag=True, help="Go on with a stopped ablation of the same settings.")
@force_option
@json_option
def ablate(
    samples: Path,
    out: Path,
    seeds: int,
    models: str | None,
    config: Path | None,
    split: str,
    peers: bool,
    oracle: bool,
    logs: Path | None,
    resume: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Table 2 on SAMPLES: every model, several seeds, a paired test against DLCM."""
    if logs is not None and not oracle:
        raise click.UsageError("--logs says where --oracle finds the truth: give both")
    need("train", "polars", "tensorflow", "plotly", "jinja2")
    if peers:
        need("peers", "lightgbm")
    from edgerec.core.atomic import check_output
    from edgerec.data.samples import load_samples
    from edgerec.model.ablation.config import load_ablation

    names = [name.strip() for name in models.split(",")] if models else None
    settings = load_ablation(config, models=names, seeds=seeds, trees=peers)
    check_output(out, force=force, kind="ablation")
    opened = load_samples(samples)
    reached = _oracle(opened, logs, split) if oracle else {}
    _import_tensorflow()
    from edgerec.model.ablation.ablate import ablate as run_ablation
    from edgerec.model.ablation.document import ablation_table

    document = run_ablation(
        opened, settings, out, samples_path=samples, split=split, oracle=reached, force=force, resume=resume
    )
    _emit({"ablation": str(out), **document}, as_json, table=ablation_table(document))


@cli.command()
@click.argument("run", type=PATH)
@out_option("bundle")
@click.option("--samples", type=PATH, help="Samples to prove the bundle on; default: those of the training.")
@click.option("--requests", type=int, default=1000, show_default=True, help="Real test requests to step through.")
@force_option
@json_option
def export(run: Path, out: Path, samples: Path | None, requests: int, force: bool, as_json: bool) -> None:
    """Split RUN, convert it to MNN, prove it and write the bundle."""
    need("export", "polars", "tensorflow", "onnx", "onnxruntime", "MNN")
    from edgerec.core.atomic import check_output

    check_output(out, force=force, kind="bundle")
    _import_tensorflow()
    from edgerec.export.bundle import export_bundle

    manifest = export_bundle(run, out, samples_path=samples, requests=requests, force=force)
    _emit({"bundle": str(out), **manifest.summary()}, as_json)


@cli.command()
@click.argument("bundle", type=PATH)
@json_option
def verify(bundle: Path, as_json: bool) -> None:
    """Let BUNDLE prove itself on this machine: hashes, golden outputs."""
    need("device", "numpy", "MNN")
    from edgerec.device_runtime.verify import verify_bundle

    _emit({"bundle": str(bundle), **verify_bundle(bundle)}, as_json)


@cli.group()
def bench() -> None:
    """Measure on this machine: a bundle's device models, or training."""


def _bench_command(name: str, help_text: str) -> None:
    @bench.command(name=name, help=help_text)
    @click.argument("bundle", type=PATH)
    @click.option("--peers", is_flag=True, help="Measure ONNX Runtime on the same functions beside MNN.")
    @click.option("--rounds", type=int, default=30, show_default=True, help="Rounds; contestants take turns in each.")
    @click.option("--out", type=PATH, help="Also write the document, raw samples included, to this JSON file.")
    @force_option
    @json_option
    def command(bundle: Path, peers: bool, rounds: int, out: Path | None, force: bool, as_json: bool) -> None:
        need("device", "numpy", "MNN", "psutil")
        if peers:
            need("peers", "onnxruntime")
        from edgerec.bench.latency import bench_table, run_bench

        document = run_bench(name, bundle, peers=peers, rounds=rounds, out=out, force=force)
        _emit(document, as_json, table=bench_table(document))


_bench_command("step", "One behaviour: one step of both recurrent stacks, exposures and page-views.")
_bench_command("rerank", "One re-rank at the bundle's full sizes.")


@bench.command(name="train")
@click.argument("samples", type=PATH)
@click.option("--config", type=PATH, help="TOML file as for train; batch size, units and depth count.")
@click.option("--batch-size", type=int, help="Requests a step.")
@click.option("--batches", type=int, default=12, show_default=True, help="Different ones; each a step in every round.")
@click.option("--rounds", type=int, default=5, show_default=True, help="Rounds; contestants take turns in each.")
@click.option("--out", type=PATH, help="Also write the document, raw samples included, to this JSON file.")
@force_option
@json_option
def bench_train(
    samples: Path,
    config: Path | None,
    batch_size: int | None,
    batches: int,
    rounds: int,
    out: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Training steps beside a plain Keras model, and with 15 thousand and 1.5 million brands."""
    need("train", "polars", "tensorflow", "psutil")
    from edgerec.data.samples import load_samples
    from edgerec.model.config import load_config

    settings = load_config(config, {"batch_size": batch_size, "model": "crban"})
    opened = load_samples(samples)
    _import_tensorflow()
    from edgerec.bench.training import run_training_bench, training_table

    document = run_training_bench(opened, settings, batches=batches, rounds=rounds, out=out, force=force)
    _emit(document, as_json, table=training_table(document))


@cli.command()
@click.option("--out", type=PATH, default=Path("quickstart"), show_default=True, help="Folder for all it makes.")
@click.option("--users", type=int, help="Users of the simulated world; fewer is faster and learns less.")
@click.option("--epochs", type=int, help="At most so many epochs of training.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the world and of the training.")
@force_option
@json_option
def quickstart(out: Path, users: int | None, epochs: int | None, seed: int, force: bool, as_json: bool) -> None:
    """All of it, small, in a few minutes: simulate, samples, train, evaluate, export, verify, bench."""
    need("all", "polars", "tensorflow", "onnx", "onnxruntime", "MNN", "psutil")
    from edgerec.core.atomic import check_output

    check_output(out, force=force, kind="quickstart")
    _import_tensorflow()
    from edgerec.quickstart import quickstart_table, run_quickstart

    sizes = {name: value for name, value in (("users", users), ("epochs", epochs)) if value is not None}
    document = run_quickstart(out, seed=seed, force=force, **sizes)
    _emit(document, as_json, table=quickstart_table(document))


def _oracle(samples: Any, logs: Path | None, split: str) -> dict[str, float]:
    """GAUC of the rankers that know a simulation's truth."""
    from edgerec.simulation.oracle import oracle

    return oracle(samples, logs or Path(samples.head.logs), split=split)


def _speed(exposures: int, seconds: float, resumed: bool) -> dict[str, float]:
    """What a command says of its speed: nothing where part of its work was done before."""
    return {} if resumed else {"exposures_per_second": exposures / seconds}


def _emit(document: dict[str, Any], as_json: bool, *, table: Any = None) -> None:
    from edgerec.core.console import emit

    emit(document, as_json=as_json, table=table)


def _import_tensorflow() -> None:
    """Import TensorFlow, which takes seconds, after what is cheap to check."""
    from edgerec.model.quiet import import_tensorflow

    import_tensorflow()


def main() -> None:
    """Run the command line; expected errors become one line on stderr and exit code 1."""
    run(cli)
