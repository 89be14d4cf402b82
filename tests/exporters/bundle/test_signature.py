"""Signatures of OpenSSF's model-signing program over the folder of a bundle: their form, and whose they are."""

import base64
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from exporters.bundle.signature import Signer, signed_files
from exporters.bundle.verify import verify_bundle
from exporters.core.errors import GateError, UnavailableError, UsageError
from tests.exporters.forging import resealed, signature_of
from tests.exporters.own_sigstore import OwnSigstore, new_key
from tests.pipeline.conftest import assert_one_clear_error, run_command


def model_signing(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "model_signing", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@dataclass(frozen=True)
class Keys:
    private: Path
    public: Path


def new_keys(folder: Path, name: str) -> Keys:
    key = ec.generate_private_key(ec.SECP256R1())
    keys = Keys(folder / f"{name}.pem", folder / f"{name}.pub")
    keys.private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    keys.public.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return keys


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return new_keys(tmp_path_factory.mktemp("keys"), "ours")


@pytest.fixture(scope="module")
def signed(packed: Path, keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> Path:
    bundle = Path(shutil.copytree(packed, tmp_path_factory.mktemp("signed") / "bundle"))
    done = model_signing("sign", "key", bundle, "--private_key", keys.private, "--signature", bundle / "model.sig")
    assert done.returncode == 0, done.stderr
    return bundle


def test_signature_is_checked_by_the_key_that_is_asked_for(
    packed: Path, signed: Path, keys: Keys, tmp_path: Path
) -> None:
    assert verify_bundle(signed).signature == "there"
    assert verify_bundle(signed, signer=Signer(public_key=keys.public)).signature == "checked"
    program = ("verify", "key", signed, "--public_key", keys.public, "--signature", signed / "model.sig")
    assert model_signing(*program).returncode == 0
    other = new_keys(tmp_path, "other")
    with pytest.raises(GateError, match=r"model\.sig: not a signature of the key of .*other\.pub"):
        verify_bundle(signed, signer=Signer(public_key=other.public))
    with pytest.raises(GateError, match=r"model\.sig: missing"):
        verify_bundle(packed, signer=Signer(public_key=keys.public))


def test_signature_over_other_files_is_refused(signed: Path, keys: Keys, tmp_path: Path) -> None:
    """Every hash of the manifest is forged; those of the signature are not."""
    bundle = Path(shutil.copytree(signed, tmp_path / "bundle"))
    resealed(bundle, lambda manifest: manifest["facts"]["metrics"].update({"test top-1": 0.99}))
    assert verify_bundle(bundle).signature == "there"
    with pytest.raises(GateError, match=r"model\.sig: made over other files: MODEL_CARD\.md"):
        verify_bundle(bundle, signer=Signer(public_key=keys.public))
    (bundle / "model.sig").write_bytes(signature_of(bundle))
    with pytest.raises(GateError, match=r"model\.sig: not a signature of the key"):
        verify_bundle(bundle, signer=Signer(public_key=keys.public))


ADA = ("ada@example.org", "https://accounts.example.org")


@pytest.fixture(scope="module")
def sigstore() -> OwnSigstore:
    return OwnSigstore()


@pytest.fixture(scope="module")
def trust(sigstore: OwnSigstore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sigstore") / "trust.json"
    path.write_text(sigstore.trust())
    return path


@pytest.fixture(scope="module")
def vouched(signed: Path, keys: Keys, sigstore: OwnSigstore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Signed by Ada."""
    bundle = Path(shutil.copytree(signed, tmp_path_factory.mktemp("vouched") / "bundle"))
    key = serialization.load_pem_private_key(keys.private.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    (bundle / "model.sig").write_bytes(sigstore.vouch((signed / "model.sig").read_bytes(), key, *ADA))
    return bundle


def test_identity_is_that_of_the_certificate(vouched: Path, trust: Path) -> None:
    """By a Sigstore whose roots are given; the program `model_signing` agrees."""
    identity, issuer = ADA
    assert verify_bundle(vouched, signer=Signer(identity, issuer, trust=trust)).signature == "checked"
    assert verify_bundle(vouched, signer=Signer(identity, trust=trust)).signature == "checked"
    options = ("--identity", identity, "--identity_provider", issuer, "--trust_config", trust)
    done = model_signing("verify", "sigstore", vouched, *options, "--signature", vouched / "model.sig")
    assert done.returncode == 0, done.stderr


def test_command_asks_for_the_identity(vouched: Path, trust: Path) -> None:
    asked = ("verify", vouched, "--require-signature", "--trust-config", trust, "--issuer", ADA[1], "--identity")
    outcome = run_command(*asked, ADA[0])
    said = "model.sig is a signature of ada@example.org, vouched for by https://accounts.example.org\n"
    assert outcome.code == 0 and outcome.out.endswith(said)
    assert_one_clear_error(run_command(*asked, "bob@example.org"), 3)


@pytest.mark.parametrize("signer", [("bob@example.org", None), (ADA[0], "https://evil.example.org")])
def test_another_identity_or_issuer_is_refused(signer: tuple[str, str | None], vouched: Path, trust: Path) -> None:
    with pytest.raises(GateError, match=rf"model\.sig: not a signature of {signer[0]}, vouched for by .*: Certificate"):
        verify_bundle(vouched, signer=Signer(*signer, trust=trust))


def test_identity_that_another_sigstore_vouches_for_is_refused(vouched: Path, tmp_path: Path) -> None:
    (tmp_path / "trust.json").write_text(OwnSigstore().trust())
    with pytest.raises(GateError, match=r"model\.sig: not a signature of ada@example\.org"):
        verify_bundle(vouched, signer=Signer(*ADA, trust=tmp_path / "trust.json"))


def test_files_of_an_identity_that_were_forged_are_refused(
    vouched: Path, sigstore: OwnSigstore, trust: Path, tmp_path: Path
) -> None:
    """Neither what Ada has signed over other files counts, nor what another key has signed under her certificate."""
    bundle = Path(shutil.copytree(vouched, tmp_path / "bundle"))
    resealed(bundle, lambda manifest: manifest["facts"]["metrics"].update({"test top-1": 0.99}))
    with pytest.raises(GateError, match=r"model\.sig: made over other files: MODEL_CARD\.md"):
        verify_bundle(bundle, signer=Signer(*ADA, trust=trust))
    other = new_keys(tmp_path, "other")
    arguments = ("--private_key", other.private, "--signature", bundle / "model.sig")
    (bundle / "model.sig").unlink()
    assert model_signing("sign", "key", bundle, *arguments).returncode == 0
    (bundle / "model.sig").write_bytes(sigstore.vouch((bundle / "model.sig").read_bytes(), new_key(), *ADA))
    with pytest.raises(GateError, match=r"model\.sig: not a signature of ada@example\.org"):
        verify_bundle(bundle, signer=Signer(*ADA, trust=trust))


def test_key_is_no_identity_and_garbage_no_root(signed: Path, trust: Path, tmp_path: Path) -> None:
    with pytest.raises(GateError, match=r"not a signature of ada@example\.org, vouched for by https://accounts"):
        verify_bundle(signed, signer=Signer(*ADA, trust=trust))
    (tmp_path / "trust.json").write_text("{}")
    with pytest.raises(UsageError, match=r"trust\.json: cannot be used"):
        verify_bundle(signed, signer=Signer(*ADA, trust=tmp_path / "trust.json"))


def test_signer_is_an_identity_or_a_key(tmp_path: Path, signed: Path) -> None:
    for arguments in ({}, {"identity": "a", "public_key": tmp_path}, {"public_key": tmp_path, "issuer": "b"}):
        with pytest.raises(UsageError):
            Signer(**arguments)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no such file"):
        verify_bundle(signed, signer=Signer(public_key=tmp_path / "none.pub"))
    (tmp_path / "key.pub").write_text("no key")
    with pytest.raises(UsageError, match=r"key\.pub: cannot be used"):
        verify_bundle(signed, signer=Signer(public_key=tmp_path / "key.pub"))


def test_missing_library_is_named(signed: Path, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "model_signing", None)
    with pytest.raises(UnavailableError, match="model-signing") as caught:
        verify_bundle(signed, signer=Signer(public_key=keys.public))
    assert "tmkd-pipeline[signing]" in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"\x00" * 1000,
        b"[" * 100_000,
        json.dumps({"mediaType": "x", "verificationMaterial": {}, "dsseEnvelope": {}}).encode(),
    ],
)
def test_anything_but_a_sigstore_bundle_is_refused(data: bytes) -> None:
    with pytest.raises(GateError, match=r"model\.sig: not a Sigstore bundle"):
        signed_files(data)


def test_more_than_a_signature_is_refused(packed: Path) -> None:
    good = json.loads(signature_of(packed))
    assert len(signed_files(json.dumps(good).encode())) == len(list(packed.rglob("*.*")))
    for change in ({"more": "x"}, {"mediaType": "text/plain"}, {"dsseEnvelope": good["dsseEnvelope"] | {"x": 1}}):
        with pytest.raises(GateError, match="not a Sigstore bundle"):
            signed_files(json.dumps(good | change).encode())
    for payload in (
        "!",
        base64.b64encode(b"[]").decode(),
        base64.b64encode(b'{"predicate": {"resources": 3}}').decode(),
    ):
        with pytest.raises(GateError, match="not a Sigstore bundle"):
            signed_files(json.dumps(good | {"dsseEnvelope": good["dsseEnvelope"] | {"payload": payload}}).encode())
