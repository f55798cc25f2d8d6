"""`edgerec mix`: the rules of a mixed feed, and what mixing learns from logs."""

from __future__ import annotations

from pathlib import Path

import click

from edgerec.cli.options import PATH, json_option
from edgerec.cli.output import emit


@click.group()
def mix() -> None:
    """Mix cards of several kinds in one feed, under rules (docs/mixing.md)."""


@mix.command()
@click.argument("rules", type=PATH)
@json_option
def check(rules: Path, as_json: bool) -> None:
    """Check the file RULES, and print all rules with their defaults."""
    from edgerec.mixing.rules import load_rules, rules_document

    emit({"rules": rules_document(load_rules(rules))}, as_json=as_json)
