"""`model.sig`: a signature over the folder, made after packing, in the layout of OpenSSF model signing.

It is a Sigstore bundle (https://docs.sigstore.dev/about/bundle) in JSON, whose envelope (DSSE) holds an in-toto
statement with the sha256 of each file. `verify` checks its form always, and what it says where that is asked for.
"""

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from exporters.core.errors import GateError, UnavailableError, UsageError
from exporters.core.process_state import quiet
from exporters.core.wording import first_of

SIGNATURE = "model.sig"
MOST_SIGNATURE_BYTES = 2**18

_MEDIA_TYPE = r"^application/vnd\.dev\.sigstore\.bundle(\.v0\.[1-9]\+json|\+json;version=0\.[1-9])$"
_PAYLOAD_TYPE = "application/vnd.in-toto+json"
_REMEDY = "Sign it again (docs/bundle.md), or remove it: a bundle needs no signature."


class _SignatureForm(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    sig: str
    keyid: str = ""


class _EnvelopeForm(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    payload: str
    payloadType: str = Field(pattern=f"^{_PAYLOAD_TYPE.replace('+', '[+]')}$")
    signatures: list[_SignatureForm] = Field(min_length=1, max_length=4)


class _BundleForm(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    mediaType: str = Field(pattern=_MEDIA_TYPE)
    verificationMaterial: dict[str, JsonValue]
    dsseEnvelope: _EnvelopeForm


@dataclass(frozen=True)
class Signer:
    """Whose signature is asked for: an identity of Sigstore, or a public key.

    Args:
        identity: what the certificate must name: an e-mail address, or the URL of a workflow.
        issuer: who must have vouched for the identity, by its OpenID Connect URL; None: whoever Sigstore trusts.
        public_key: a file with an elliptic-curve key in PEM, in place of an identity.
        trust: a file with the trusted roots of another Sigstore than the public one, which needs no network then.
    """

    identity: str | None = None
    issuer: str | None = None
    public_key: Path | None = None
    trust: Path | None = None

    def __post_init__(self) -> None:
        if (self.identity is None) == (self.public_key is None):
            raise UsageError(
                "a signature is required, and not whose",
                remedy="Give --identity, as in --identity ada@example.org, or --public-key FILE.",
            )
        if self.public_key is not None and (self.issuer or self.trust):
            raise UsageError("--issuer and --trust-config go with --identity, not with --public-key")

    def describe(self) -> str:
        """For a person: whose signature it is."""
        if self.identity is None:
            return f"the key of {self.public_key}"
        return f"{self.identity}, vouched for by {self.issuer or 'an issuer that Sigstore trusts'}"


def signed_files(data: bytes) -> dict[str, str]:
    """The sha256 of each file, by name, that a signature speaks of; nothing is proved by that.

    Raises:
        GateError: not a Sigstore bundle of a signed folder.
    """
    try:
        form = _BundleForm.model_validate_json(data)
        payload = json.loads(base64.b64decode(form.dsseEnvelope.payload, validate=True))
        resources = payload["predicate"]["resources"]
        files = {entry["name"]: entry["digest"] for entry in resources if entry["algorithm"] == "sha256"}
        if len(files) != len(resources) or not all(isinstance(text, str) for pair in files.items() for text in pair):
            raise ValueError("files twice, or hashes other than sha256")
    except (ValidationError, ValueError, KeyError, TypeError, RecursionError, binascii.Error) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise GateError(f"{SIGNATURE}: not a Sigstore bundle ({reason[:200]})", remedy=_REMEDY) from error
    return files


def check_signature(folder: Path, data: bytes, files: Mapping[str, str], signer: Signer) -> None:
    """Refuse a verified bundle that this signer has not signed, every file of it.

    Args:
        folder: the bundle.
        data: the content of its `model.sig`.
        files: the sha256 of each file of the bundle, the manifest and its seal included.
        signer: whose signature counts.

    Raises:
        GateError: another signer, other files, or a damaged signature.
        UnavailableError: the library is missing, or Sigstore's trusted roots cannot be fetched.
        UsageError: a key or trusted roots that cannot be read.
    """
    if signed_files(data) != dict(files):
        different = sorted(name for name, _ in signed_files(data).items() ^ dict(files).items())
        raise GateError(f"{SIGNATURE}: made over other files: {_some(different)}", remedy=_REMEDY)
    verifier = _verifier(signer)
    try:
        with quiet():
            verifier.verify(folder, folder / SIGNATURE)
    except Exception as error:  # the library and Sigstore raise classes without a common base
        raise GateError(
            f"{SIGNATURE}: not a signature of {signer.describe()}: {_reason(error)}",
            remedy="Ask who packed the bundle, and whom they sign as.",
        ) from error


def _verifier(signer: Signer) -> Any:
    try:
        with quiet():
            from model_signing import hashing, verifying
    except ImportError as error:
        raise UnavailableError(
            f"signatures are checked by the package model-signing, which is not here ({error})",
            remedy="pip install 'tmkd-pipeline[signing]'",
        ) from error
    for path in (signer.public_key, signer.trust):
        if path is not None and not path.is_file():
            raise UsageError(f"{path}: no such file")
    hashes = hashing.Config().set_ignored_paths(paths=[SIGNATURE], ignore_git_paths=False)
    config = verifying.Config().set_hashing_config(hashes)
    try:
        with quiet():
            if signer.public_key is not None:
                return config.use_elliptic_key_verifier(public_key=signer.public_key)
            return config.use_sigstore_verifier(
                identity=str(signer.identity),
                oidc_issuer=signer.issuer,  # type: ignore[arg-type]  # handed on to Sigstore, for which None is any
                trust_config=signer.trust,
            )
    except Exception as error:  # as above
        file = signer.public_key or signer.trust
        if file is not None:
            raise UsageError(f"{file}: cannot be used to check a signature: {_reason(error)}") from error
        raise UnavailableError(
            f"Sigstore's trusted roots could not be fetched: {_reason(error)}",
            remedy="It needs the internet, or --trust-config FILE.",
        ) from error


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300]


def _some(names: Iterable[str]) -> str:
    return first_of([name[:200] for name in names], 5)
