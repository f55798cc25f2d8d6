"""The long proofs by name: `scripts/prove` lists them, `scripts/prove NAME [ARGUMENT...]` runs one."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from subprocess import call

BUNDLE = "build/quickstart/bundle"


@dataclass(frozen=True)
class Proof:
    """A command of Python that takes minutes.

    Attributes:
        what: it proves.
        arguments: of Python.
    """

    what: str
    arguments: str


PROOFS = {
    "slow": Proof("the tests that are marked slow", "-m pytest -m slow --durations=0"),
    "quickstart": Proof(
        "the whole way at full size; its bundle serves other proofs",
        "-m edgerec quickstart --force --out build/quickstart",
    ),
    "mutations": Proof(
        "of 2,400 damaged and forged bundles each is refused or does the same", f"-m tests.proof.mutations {BUNDLE}"
    ),
    "kills": Proof(
        "a command that is killed leaves nothing half made: name simulate, samples, train or export",
        "-m tests.proof.kills",
    ),
    "long_user": Proof(
        "one user with 200,000 events costs what ordinary users with as many cost", "-m tests.proof.long_user"
    ),
}


def main(arguments: list[str]) -> int:
    if not arguments:
        for name, proof in PROOFS.items():
            sys.stdout.write(f"{name:12} {proof.what}\n{'':12} python {proof.arguments}\n")
        return 0
    name, *more = arguments
    if name not in PROOFS:
        sys.stderr.write(f"prove: there is no proof {name!r}; there are: {', '.join(PROOFS)}\n")
        return 2
    return call([sys.executable, *shlex.split(PROOFS[name].arguments), *more])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
