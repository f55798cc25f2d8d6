"""The commands on bundles: `export`, `verify` and `inspect`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from edgerec.cli.command import need
from edgerec.cli.keys import load_key
from edgerec.cli.options import (
    PATH,
    check_needed,
    force_option,
    json_option,
    out_option,
    public_key_option,
    shard_rows_option,
    table_dtype_option,
)
from edgerec.cli.output import emit
from edgerec.cli.tensorflow import import_tensorflow


@click.command()
@click.argument("run", type=PATH)
@out_option("bundle")
@click.option(
    "--samples", type=PATH, help="Samples for the checks of the bundle. Default: the samples of the training."
)
@click.option(
    "--requests",
    type=int,
    default=1000,
    show_default=True,
    help="Number of real requests, from the samples, on which the outputs of MNN are compared with those of Keras. The "
    "checks on random inputs, which take most of the time, are always the same.",
)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "int8", "auto"]),
    default="fp32",
    show_default=True,
    help="Precision of the weights on the device. auto selects the precision with the smallest files whose GAUC is "
    "within --gauc-tolerance.",
)
@click.option(
    "--gauc-tolerance",
    type=float,
    help="Largest allowed difference between the GAUC of MNN and the GAUC of Keras on validation requests. Default: "
    "5e-4 for fp16 and auto, 2e-3 for int8, no limit for fp32.",
)
@table_dtype_option("Data type of the stored embedding tables.")
@shard_rows_option("Maximum number of rows in a shard of an embedding table.")
@click.option("--sign-key", type=PATH, help="Sign the bundle with the Ed25519 private key in this PEM file.")
@click.option(
    "--serial",
    type=int,
    help="Serial number of the device's files. A device that checks signatures refuses smaller ones than it has had. "
    "Default: the time of the training, YYYYmmddHHMMSS.",
)
@click.option(
    "--peers",
    is_flag=True,
    help="For the model crban: also write what other inference engines need, so that `edgerec bench` measures them "
    "with --peers.",
)
@click.option(
    "--trace",
    is_flag=True,
    help="If the parity check in fp32 fails, name the first tensor that differs, and write the request, the graphs and "
    "the models to the folder OUT.trace.",
)
@click.option(
    "--rules",
    type=PATH,
    help="Rules of a mixed feed, a TOML file (docs/mixing.md). The device then mixes the kinds of cards under them.",
)
@click.option(
    "--prior", type=PATH, help="With --rules: calibration and first prices, which `edgerec mix fit` wrote for RUN."
)
@click.option(
    "--personal",
    type=PATH,
    help="Head of personal patches, a file that `edgerec meta-train` wrote for RUN (docs/personalization.md). The "
    "ranker then also returns what patches read.",
)
@force_option
@json_option
def export(
    run: Path,
    out: Path,
    samples: Path | None,
    requests: int,
    precision: Any,
    gauc_tolerance: float | None,
    table_dtype: Any,
    shard_rows: int,
    sign_key: Path | None,
    serial: int | None,
    peers: bool,
    trace: bool,
    rules: Path | None,
    prior: Path | None,
    personal: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Split the model of RUN, convert it to MNN, check it against Keras, and write a bundle."""
    check_needed("prior", "--rules", rules)
    signing = ["cryptography"] if sign_key is not None else []
    need("export", "polars", "tensorflow", "onnx", "onnxruntime", "MNN", *signing)
    if peers:
        need("peers", "tf2onnx")
    from edgerec.bundle.signing import load_signing_key
    from edgerec.core.atomic import check_output
    from edgerec.core.errors import FormatError
    from edgerec.mixing.rules import load_rules
    from edgerec.mixing.settings import load_prior
    from edgerec.model.run_head import check_samples, read_run_head, samples_of
    from edgerec.personalization.head_file import load_personal_head

    given = (run, samples, sign_key, rules, prior, personal)
    check_output(out, force=force, kind="bundle", inputs=[each for each in given if each])
    key = load_signing_key(sign_key) if sign_key is not None else None
    found = None if rules is None else load_rules(rules), None if prior is None else load_prior(prior)
    patches = None if personal is None else load_personal_head(personal)
    head, vocabularies = read_run_head(run)
    if patches is not None:
        try:
            patches.check_version(head.version_id)
        except FormatError as error:
            raise FormatError(f"{personal}: {error}") from None
    check_samples(head, vocabularies, samples_of(head, samples))
    import_tensorflow()
    from edgerec.cli.tables.bundles import export_table
    from edgerec.export.bundle import export_bundle

    exported = export_bundle(
        run,
        out,
        samples_path=samples,
        requests=requests,
        precision=precision,
        gauc_tolerance=gauc_tolerance,
        table_dtype=table_dtype,
        shard_rows=shard_rows,
        sign_key=key,
        serial=serial,
        trace=trace,
        peers=peers,
        rules=found[0],
        prior=found[1],
        personal=patches,
        force=force,
    )
    document = {"bundle": str(out), **exported.summary(), "signed": key is not None}
    emit(document, as_json=as_json, table=export_table(document))


@click.command()
@click.argument("bundle", type=PATH)
@public_key_option
@json_option
def verify(bundle: Path, public_key: Path | None, as_json: bool) -> None:
    """Check BUNDLE on this machine: hashes, outputs for golden cases, signature.

    Golden cases are stored inputs with the outputs that Keras computed. Some of them start from raw values: this
    machine must encode them to the same bytes as training did. The signature is checked with --public-key.
    """
    need("device", "numpy", "MNN")
    key = load_key(public_key)
    from edgerec.bundle.guard import guarded
    from edgerec.bundle.verify import verify_bundle

    emit({"bundle": str(bundle), **guarded(partial(verify_bundle, public_key=key), bundle)}, as_json=as_json)


@click.command()
@click.argument("bundle", type=PATH)
@public_key_option
@json_option
def inspect(bundle: Path, public_key: Path | None, as_json: bool) -> None:
    """Show what is in BUNDLE: sizes, operations, shapes, tool versions, parity, GAUC."""
    need("device", "numpy", "MNN")
    key = load_key(public_key)
    from edgerec.bundle.guard import guarded
    from edgerec.bundle.inspection import inspect_bundle
    from edgerec.cli.tables.bundles import inspection_table

    document = guarded(partial(inspect_bundle, public_key=key), bundle)
    emit({"bundle": str(bundle), **document}, as_json=as_json, table=inspection_table(document))
