"""`edgerec mix`: the rules of a mixed feed, and what mixing learns from logs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgerec.cli.command import need
from edgerec.cli.options import (
    PATH,
    WholeNumber,
    config_option,
    force_option,
    json_option,
    out_option,
    resume_option,
    split_option,
)
from edgerec.cli.output import emit
from edgerec.cli.tensorflow import import_tensorflow

if TYPE_CHECKING:
    from rich.console import Group


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
    from edgerec.data.samples import open_samples
    from edgerec.mixing.rules import load_rules

    checked, opened = load_rules(rules), open_samples(samples)
    import_tensorflow()
    from edgerec.cli.tables.mixing import prior_table
    from edgerec.model.mixing.fit import fit_prior
    from edgerec.model.mixing.kinds import KindReader
    from edgerec.model.runs import load_run

    loaded = load_run(run)
    KindReader(loaded.head.spec, checked)  # Wrong rules are found before folders are made.
    check_output(out, force=force, kind=FILE, inputs=[run, samples, rules])
    fitted = fit_prior(loaded, opened, checked, split=split, requests=requests)
    write_json(out, fitted.prior.model_dump(mode="json"))
    document = {"prior": str(out), **fitted.document}
    emit(document, as_json=as_json, table=prior_table(document))


@mix.command()
@click.argument("run", type=PATH)
@click.argument("samples", type=PATH)
@split_option(["train", "validation", "test"], "Split of the samples to evaluate on.")
@json_option
def evaluate(run: Path, samples: Path, split: str, as_json: bool) -> None:
    """Compare the click rates of RUN, given the cards around each card, with the clicks in SAMPLES.

    The results are AUC, log loss and calibration error, for each kind of card and for each kind of the card before it.
    `relevance` is the same model without surroundings and place.
    """
    need("train", "polars", "tensorflow")
    from edgerec.data.samples import open_samples

    opened = open_samples(samples)
    import_tensorflow()
    from edgerec.model.runs import load_run
    from edgerec.model.surroundings.evaluate import evaluate_in_list

    document: dict[str, Any] = evaluate_in_list(load_run(run), opened, split=split)
    emit(document, as_json=as_json, table=_tables(document))


@mix.command()
@click.argument("samples", type=PATH)
@out_option("ablation")
@click.option(
    "--seeds",
    type=WholeNumber(1, 100),
    default=3,
    show_default=True,
    help="Number of seeds N. Each variant is trained with the seeds 1 to N.",
)
@config_option("training settings, as for `edgerec train`. A table [models.NAME] sets them for one variant only.")
@split_option(["validation", "test"], "Split of the samples to evaluate on.")
@resume_option("an interrupted ablation that has the same settings")
@force_option
@json_option
def ablate(
    samples: Path,
    out: Path,
    seeds: int,
    config: Path | None,
    split: str,
    resume: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Train ESAN on SAMPLES without each of its parts, and compare the click rates.

    The variants are esan; esan_alone, without surroundings; esan_no_behaviour; esan_no_place; and esan_shuffled, with
    the surroundings of other cards, which have to lose what surroundings gain.
    """
    need("train", "polars", "tensorflow")
    from edgerec.core.atomic import check_output
    from edgerec.data.samples import open_samples

    check_output(out, force=force, kind="mix_ablation", inputs=[samples, *([config] if config else [])])
    opened = open_samples(samples)
    import_tensorflow()
    from edgerec.model.surroundings.ablate import ablate_surroundings, load_variants

    variants = load_variants(config)
    document: dict[str, Any] = ablate_surroundings(
        opened, variants, out, seeds=seeds, split=split, force=force, resume=resume
    )
    emit({"mix_ablation": str(out), **document}, as_json=as_json, table=_tables(document))


def _tables(document: dict[str, Any]) -> Group:
    from rich.console import Group

    from edgerec.cli.tables.block import block_table
    from edgerec.reports.surroundings.table import terminal_blocks

    return Group(*(block_table(block) for block in terminal_blocks(document)))
