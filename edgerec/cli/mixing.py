"""`edgerec mix`: the rules of a mixed feed, and what mixing learns from logs."""

from __future__ import annotations

from pathlib import Path

import click

from edgerec.cli.command import need
from edgerec.cli.options import PATH, WholeNumber, force_option, json_option
from edgerec.cli.output import emit
from edgerec.cli.tensorflow import import_tensorflow


@click.group()
def mix() -> None:
    """Mix cards of several kinds in one feed, under rules (docs/mixing.md)."""


@mix.command()
@click.argument("rules", type=PATH)
@json_option
def check(rules: Path, as_json: bool) -> None:
    """Check the file RULES, and print all rules with their defaults.

    Rules that no list can follow, even with enough cards of each kind, are an error.
    """
    need("device", "numpy")
    from edgerec.cli.tables.mixing_rules import rules_table
    from edgerec.mixing.check import check_can_hold
    from edgerec.mixing.rules import load_rules, rules_document

    loaded = load_rules(rules)
    warnings = check_can_hold(loaded, where=str(rules))
    emit({"rules": rules_document(loaded), "warnings": warnings}, as_json=as_json, table=rules_table(loaded, warnings))


@mix.command()
@click.argument("run", type=PATH)
@click.argument("samples", type=PATH)
@click.option("--rules", type=PATH, required=True, help="TOML file with the rules (docs/mixing.md).")
@click.option("--out", type=PATH, required=True, help="JSON file to write.")
@click.option(
    "--split",
    type=click.Choice(["validation", "test"]),
    default="validation",
    show_default=True,
    help="The split that calibrates click rates and decides the prices. It did not train the model.",
)
@click.option(
    "--requests",
    type=WholeNumber(20, 100_000),
    default=200,
    show_default=True,
    help="Number of logged lists whose plans decide the prices.",
)
@force_option
@json_option
def fit(
    run: Path, samples: Path, rules: Path, out: Path, split: str, requests: int, force: bool, as_json: bool
) -> None:
    """Learn from SAMPLES what a device starts to mix with, and write it to a JSON file for `edgerec export --prior`.

    For each kind of card, it has the calibration of RUN's click rates, the price of showing one, and how much more
    likely users leave after one. It also has how far users look down a list.
    """
    need("train", "polars", "tensorflow")
    from edgerec.core.atomic import FILE, check_output, write_json

    check_output(out, force=force, kind=FILE, inputs=[run, samples, rules])
    from edgerec.mixing.rules import load_rules

    checked = load_rules(rules)
    import_tensorflow()
    from edgerec.cli.tables.mixing import prior_table
    from edgerec.data.samples import open_samples
    from edgerec.model.mixing.fit import fit_prior
    from edgerec.model.runs import load_run

    fitted = fit_prior(load_run(run), open_samples(samples), checked, split=split, requests=requests)
    write_json(out, fitted.prior.model_dump(mode="json"))
    document = {"prior": str(out), **fitted.document}
    emit(document, as_json=as_json, table=prior_table(document))
