"""The command `bench mix`."""

from __future__ import annotations

from pathlib import Path

import click

from edgerec.cli.command import need
from edgerec.cli.keys import load_key
from edgerec.cli.options import (
    PATH,
    WholeNumber,
    document_option,
    force_option,
    json_option,
    public_key_option,
    rounds_option,
    seed_option,
)
from edgerec.cli.output import emit


@click.command(name="mix")
@click.argument("bundle", type=PATH, required=False)
@click.option("--rules", type=PATH, help="Rules (TOML) in place of those of BUNDLE.")
@click.option("--places", type=WholeNumber(1, 50), default=20, show_default=True, help="Number of places of a plan.")
@click.option("--candidates", type=WholeNumber(1, 1000), default=40, show_default=True, help="Number of candidates.")
@click.option(
    "--instances",
    type=WholeNumber(1, 100_000),
    default=50,
    show_default=True,
    help="Number of feeds whose plans are compared with the best ones.",
)
@rounds_option(20)
@click.option("--cpu", metavar="LIST", help="Bind the measurement to these processors, such as 0 or 0,2-3.")
@seed_option("Seed of the random feeds.")
@public_key_option
@document_option
@click.option("--html", type=PATH, help="Also write a page with tables and plots. This needs the extra report.")
@click.option("--markdown", type=PATH, help="Also write tables to this file, for a pull request.")
@force_option
@json_option
def bench_mix(
    bundle: Path | None,
    rules: Path | None,
    places: int,
    candidates: int,
    instances: int,
    rounds: int,
    cpu: str | None,
    seed: int,
    public_key: Path | None,
    out: Path | None,
    html: Path | None,
    markdown: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Measure how long a plan of a mixed feed takes, and how far it is from the best one.

    The feeds are random, in the middle of a session. With BUNDLE, they follow its rules, and the values are those of
    its model if it has surroundings. Plans are compared with those of HiGHS (SciPy, extra experiments), or with the
    best known ones if no other solver can have the same values.
    """
    need("device", "numpy", "MNN", "psutil")
    if html is not None:
        need("report", "plotly", "jinja2")
    key = load_key(public_key)
    from edgerec.bench.mix.run import MixPlan, run_mix_bench
    from edgerec.bench.outputs import Outputs
    from edgerec.bench.pinning import parse_cpus
    from edgerec.cli.tables.bench import bench_table
    from edgerec.mixing.rules import load_rules

    plan = MixPlan(
        bundle=bundle,
        rules=None if rules is None else load_rules(rules),
        places=places,
        candidates=candidates,
        instances=instances,
        rounds=rounds,
        seed=seed,
        cpus=None if cpu is None else tuple(parse_cpus(cpu)),
        public_key=key,
    )
    outputs = Outputs(out, html, markdown, force=force)
    outputs.check([path for path in (bundle, rules) if path is not None])
    document = run_mix_bench(plan)
    outputs.write(document)
    emit(document.to_json(), as_json=as_json, table=bench_table(document))
