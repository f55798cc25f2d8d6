"""Run the long proofs: `scripts/prove` lists them, `scripts/prove NAME [ARGUMENT...]` runs one."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from subprocess import call

BUNDLE = "build/quickstart/bundle"


@dataclass(frozen=True)
class Proof:
    """A long proof: a Python command that takes minutes to run.

    Attributes:
        what: what the command shows.
        arguments: arguments of the Python interpreter.
    """

    what: str
    arguments: str


PROOFS = {
    "slow": Proof("the tests that are marked slow pass", "-m pytest -m slow --durations=0"),
    "quickstart": Proof(
        "the quickstart works at full size; other proofs use its bundle",
        "-m edgerec quickstart --force --out build/quickstart",
    ),
    "mutations": Proof(
        "each of 2,400 damaged or forged bundles is refused or has the same results",
        f"-m tests.proof.mutations {BUNDLE}",
    ),
    "kills": Proof(
        "a killed command leaves no incomplete output; give simulate, samples, train or export",
        "-m tests.proof.kills",
    ),
    "api": Proof(
        "the HTTP interface answers only what its description declares, and never 5xx: 1,000 requests a route",
        "-m tests.proof.api",
    ),
    "small_data": Proof(
        "ten thousand requests are trained, evaluated and exported in less than five minutes",
        "-m tests.proof.small_data",
    ),
    "replays": Proof(
        "devices have Keras' scores and send equal samples, on long histories with gaps and two devices; give --ebnerd",
        "-m tests.proof.replays",
    ),
    "switch_kills": Proof(
        "a device that is killed at any moment of an update loses nothing; give two bundles of one world, and its logs",
        "-m tests.proof.switch_kills",
    ),
    "cold_start": Proof(
        "a device process has its first order within a second, in 30 MB above Python, NumPy and MNN",
        f"-m tests.proof.cold_start {BUNDLE} build/quickstart/logs",
    ),
    "compare_noise": Proof(
        "`bench compare` calls equal builds different in at most 3 % of cases, and finds a slowdown of 10 % in 95 %",
        f"-m tests.proof.compare_noise {BUNDLE}",
    ),
    "mixing": Proof(
        "plans of mixed feeds are the best ones by HiGHS on 1,000 problems, and 100,000 plans break no rule",
        "-m tests.proof.mixing",
    ),
    "long_user": Proof(
        "one user with 200,000 events costs no more than ordinary users with as many events", "-m tests.proof.long_user"
    ),
    "versions": Proof(
        "two versions are switched 200 times under load without a wrong row; damage and kills of publish harm nothing",
        "-m tests.proof.versions",
    ),
    "faults": Proof(
        "a device loses nothing and sends nothing twice: killed clients and servers, damaged stores, a dead server",
        f"-m tests.proof.faults {BUNDLE} build/quickstart/logs",
    ),
    "soak": Proof(
        "at 50 behaviours a second for ten minutes, no queue, memory, latency or file of a device grows; --minutes 1",
        f"-m tests.proof.soak {BUNDLE} build/quickstart/logs",
    ),
    "mixed_world": Proof(
        "in the mixed world, neighbours change clicks, and one price for ads beats a cap of each page by 4 % or more",
        "-m tests.proof.mixed_world",
    ),
    "docs": Proof(
        "every command of README and the docs runs, at a small size; give pages, such as README.md, to choose some",
        "-m tests.proof.docs_commands",
    ),
    "cluster": Proof(
        "samples of 20 million exposures have equal bytes on two dask workers, also when one is killed; --users 26600",
        "-m tests.proof.cluster",
    ),
    "object_store": Proof(
        "samples from and to a real S3 store have the bytes of local ones, and no killed upload can be read",
        "-m tests.proof.object_store",
    ),
    "patch_kills": Proof(
        "a device that is killed while it trains a patch has the patch of one training, whole, and loses nothing",
        "-m tests.proof.patch_kills",
    ),
    "demo": Proof(
        "in `edgerec demo`, a tap moves unseen cards at once, and the page asks only its own address; --picture FILE",
        "-m tests.proof.demo",
    ),
    "wheel": Proof(
        "the wheel has every file, and installs and works in empty environments of Python 3.10 to 3.13",
        f"-m tests.proof.wheel {BUNDLE} build/quickstart/logs",
    ),
    "site": Proof(
        "the documentation builds as a site without a warning, its links work, and it asks nobody else for files",
        "-m tests.proof.site",
    ),
    "container": Proof(
        "the server's container is built from nothing and serves, read-only and not as root; needs buildah",
        f"-m tests.proof.container {BUNDLE} build/quickstart/logs",
    ),
}


def main(arguments: list[str]) -> int:
    if not arguments:
        for name, proof in PROOFS.items():
            sys.stdout.write(f"{name:12} {proof.what}\n{'':12} python {proof.arguments}\n")
        return 0
    name, *more = arguments
    if name not in PROOFS:
        sys.stderr.write(f"prove: unknown proof {name!r}; expected one of: {', '.join(PROOFS)}\n")
        return 2
    return call([sys.executable, *shlex.split(PROOFS[name].arguments), *more])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
