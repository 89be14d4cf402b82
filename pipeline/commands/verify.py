"""The command `verify`: the proof that a bundle is whole and holds the student alone."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.commands.options import BUNDLE, PATH, QUIET, as_json

if TYPE_CHECKING:
    from exporters.bundle.signature import Signer
    from pipeline.api.verify import Verified

_SIGNATURE = {
    "": "",
    "there": "; model.sig was not checked: --require-signature does",
    "checked": "; model.sig is a signature of ",
}


@click.command()
@BUNDLE
@click.option(
    "--data",
    type=PATH,
    metavar="DIR",
    help="Images in a folder for each label: the accuracy is measured again on them.",
)
@click.option(
    "--require-signature",
    is_flag=True,
    help="Fail unless model.sig is a signature over every file by --identity or --public-key; needs the extra signing.",
)
@click.option("--identity", metavar="ID", help="Of the signer at Sigstore: an e-mail address, or a workflow's URL.")
@click.option(
    "--issuer", metavar="URL", help="Who must have vouched for the identity; default: whoever Sigstore trusts."
)
@click.option("--public-key", type=PATH, metavar="FILE", help="A signer's elliptic-curve key in PEM, for --identity.")
@click.option(
    "--trust-config",
    type=PATH,
    metavar="FILE",
    help="Trusted roots of another Sigstore; it is then not asked for them.",
)
@QUIET
@as_json("what was proved")
def verify(
    bundle: Path,
    data: Path | None,
    require_signature: bool,
    identity: str | None,
    issuer: str | None,
    public_key: Path | None,
    trust_config: Path | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Prove that BUNDLE is whole and holds only the student.

    Checks every hash, the golden vectors, and that each number in each model comes from the student. With --data, also
    checks that each model is as accurate as the bundle says. Exits with 3 where any of that fails.
    """
    from pipeline.api.verify import execute_verification
    from pipeline.console import Console
    from pipeline.streams import echo_json

    signer = _signer(require_signature, identity, issuer, public_key, trust_config)
    by = signer.describe() if signer is not None else ""

    def tell(proved: "Verified") -> None:
        if not as_json:
            click.echo(f"{proved.describe()}{_SIGNATURE[proved.signature]}{by}")

    found = execute_verification(bundle, data, signer, Console(sys.stderr, quiet=quiet), tell)
    if as_json:
        echo_json(found.to_json())
    elif found.accuracy is not None:
        click.echo(f"{data}: {found.accuracy.describe()}")


def _signer(
    required: bool, identity: str | None, issuer: str | None, public_key: Path | None, trust: Path | None
) -> "Signer | None":
    from exporters.bundle.signature import Signer
    from exporters.core.errors import UsageError

    given = [name for name, value in (
        ("--identity", identity), ("--issuer", issuer), ("--public-key", public_key), ("--trust-config", trust),
    ) if value is not None]  # fmt: skip
    if required:
        return Signer(identity, issuer, public_key, trust)
    if given:
        raise UsageError(f"{given[0]} is of no effect alone", remedy="Add --require-signature.")
    return None
