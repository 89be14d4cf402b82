"""OpenSSF's model-signing program signs and verifies the folder of a bundle."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from exporters.bundle.verify import verify_bundle
from exporters.core.errors import GateError


def model_signing(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "model_signing", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_signed_bundle_verifies_until_it_is_changed(packed: Path, tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    private, public = tmp_path / "key.pem", tmp_path / "key.pub"
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    public.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    bundle = Path(shutil.copytree(packed, tmp_path / "bundle"))
    signature = bundle / "model.sig"
    signed = model_signing("sign", "key", bundle, "--private_key", private, "--signature", signature)
    assert signed.returncode == 0, signed.stderr
    check = ("verify", "key", bundle, "--public_key", public, "--signature", signature)
    assert model_signing(*check).returncode == 0
    assert verify_bundle(bundle).golden_images == 8
    (bundle / "model.sig2").write_bytes(b"")
    with pytest.raises(GateError, match=r"model\.sig2"):
        verify_bundle(bundle)
    (bundle / "model.sig2").unlink()
    with (bundle / "labels.json").open("ab") as stream:
        stream.write(b" ")
    assert model_signing(*check).returncode != 0
