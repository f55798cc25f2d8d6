"""The command `off-policy`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgerec.cli.command import need
from edgerec.cli.options import PATH, json_option
from edgerec.cli.output import emit
from edgerec.cli.tensorflow import import_tensorflow


@click.command("off-policy")
@click.argument("logs", type=PATH)
@click.option(
    "--run",
    "runs",
    type=PATH,
    multiple=True,
    help="A run whose model is evaluated, too. It scores the logged requests with Keras. May be given several times.",
)
@json_option
def off_policy(logs: Path, runs: tuple[Path, ...], as_json: bool) -> None:
    """Estimate how many clicks other orders would have got, from LOGS alone.

    LOGS are logs of devices that explored some places (ClientConfig(explore=...)). For each policy, the result has the
    click rate at these places if the policy had chosen there: by a doubly robust estimator, with a 95 % interval.
    """
    need("train", "polars", *(["tensorflow"] if runs else []))
    from edgerec.cli.tables.off_policy import off_policy_table
    from edgerec.core.console import log
    from edgerec.off_policy.evaluation import evaluate_policies

    scores_of: Any = None
    if runs:
        log("off-policy: loading TensorFlow")
        import_tensorflow()
        from edgerec.off_policy.run_scores import run_scores

        def scores_of(run: Path, requests: Any) -> Any:
            return run_scores(logs, run, requests)

    document = evaluate_policies(logs, runs, scores_of=scores_of)
    emit(document, as_json=as_json, table=off_policy_table(document))
