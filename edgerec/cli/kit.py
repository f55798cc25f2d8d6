"""The command `kit`, which packs a bundle for a device."""

from __future__ import annotations

from pathlib import Path

import click

from edgerec.cli.command import need
from edgerec.cli.keys import load_key
from edgerec.cli.options import PATH, force_option, json_option, public_key_option
from edgerec.cli.output import emit
from edgerec.core.errors import InputError


@click.command()
@click.argument("bundle", type=PATH)
@click.option("--out", required=True, type=PATH, help="Archive to write, such as kit.tar.gz.")
@click.option(
    "--wheels",
    "targets",
    multiple=True,
    metavar="MACHINE-PYTHON",
    help="Download the wheels for a device without a network, such as aarch64-3.11. Repeat the option for several "
    "devices.",
)
@public_key_option
@force_option
@json_option
def kit(bundle: Path, out: Path, targets: tuple[str, ...], public_key: Path | None, force: bool, as_json: bool) -> None:
    """Pack BUNDLE and EdgeRec into one archive that verifies and measures itself on a device with Python.

    On the device, unpack the archive and run `sh edgerec-kit/run.sh`.
    """
    need("device", "numpy")
    key = load_key(public_key)
    from edgerec.kit.build import build_kit
    from edgerec.kit.versions import MACHINES, PYTHONS

    known = {f"{machine}-{python}": (machine, python) for machine in MACHINES for python in PYTHONS}
    for target in targets:
        if target not in known:
            raise InputError(f"kit: --wheels should be one of {', '.join(known)}; received {target!r}")
    wheels = [known[target] for target in targets]
    emit(build_kit(bundle, out, wheels=wheels, public_key=key, force=force), as_json=as_json)
