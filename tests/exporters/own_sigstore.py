"""A Sigstore of one's own, without a network: it vouches for an identity, and enters a signature into a log.

What its three services would answer is made here from the specifications: the certificate of Fulcio
(https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md), with the promise of a certificate log in it (RFC 6962,
section 3.3), and the entry of Rekor, with its promise and its place in a Merkle tree of one leaf (RFC 6962, section
2.1; https://github.com/C2SP/C2SP/blob/main/tlog-checkpoint.md).
"""

import base64
import hashlib
import json
import struct
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_ISSUER = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
_PROMISES = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
_NAME = "log.example.org"
_PERIOD = timedelta(minutes=10)


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _sign(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    return key.sign(data, ec.ECDSA(hashes.SHA256()))


def _public(key: ec.EllipticCurvePrivateKey) -> bytes:
    encoding, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(encoding, form)


def _id(key: ec.EllipticCurvePrivateKey) -> bytes:
    return hashlib.sha256(_public(key)).digest()


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


class OwnSigstore:
    """A certificate authority and two logs."""

    def __init__(self) -> None:
        self._authority, self._certificates, self._log = new_key(), new_key(), new_key()
        self._now = datetime.now(UTC).replace(microsecond=0)
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fulcio.example.org")])
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        key = self._authority.public_key()
        self._root = (
            self._builder(self._name, key, timedelta(days=9))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .sign(self._authority, hashes.SHA256())
        )

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, period: timedelta
    ) -> x509.CertificateBuilder:
        builder = x509.CertificateBuilder(self._name, subject, key, x509.random_serial_number())
        return builder.not_valid_before(self._now - period).not_valid_after(self._now + period)

    def trust(self) -> str:
        """What a client must be told to trust it, in JSON."""
        valid = {"start": (self._now - timedelta(days=1)).isoformat().replace("+00:00", "Z")}

        def log(key: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
            public = {"rawBytes": _text(_public(key)), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": valid}
            where = {"baseUrl": f"https://{_NAME}", "hashAlgorithm": "SHA2_256"}
            return {**where, "publicKey": public, "logId": {"keyId": _text(_id(key))}}

        root = {"certificates": [{"rawBytes": _text(self._root.public_bytes(serialization.Encoding.DER))}]}
        names = {"organization": "example.org", "commonName": "fulcio.example.org"}
        service = {"url": f"https://{_NAME}", "majorApiVersion": 1, "validFor": valid, "operator": "example.org"}
        return json.dumps(
            {
                "mediaType": "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json",
                "trustedRoot": {
                    "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
                    "tlogs": [log(self._log)],
                    "certificateAuthorities": [
                        {"subject": names, "uri": "https://fulcio.example.org", "certChain": root, "validFor": valid}
                    ],
                    "ctlogs": [log(self._certificates)],
                    "timestampAuthorities": [],
                },
                "signingConfig": {
                    "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
                    **{name: [service] for name in ("caUrls", "oidcUrls", "rekorTlogUrls")},
                    "tsaUrls": [],
                    **{name: {"selector": "ANY"} for name in ("rekorTlogConfig", "tsaConfig")},
                },
            }
        )

    def vouch(self, signature: bytes, key: ec.EllipticCurvePrivateKey, identity: str, issuer: str) -> bytes:
        """A signature that was made by a key becomes one by an identity.

        Args:
            signature: a Sigstore bundle with a DSSE envelope that `key` has signed.
            key: of the signer.
            identity: an e-mail address.
            issuer: who has asked for a password, by its URL.
        """
        bundle = json.loads(signature)
        certificate = self._certificate(key, identity, issuer)
        entry = self._entry(bundle["dsseEnvelope"], certificate)
        material = {"certificate": {"rawBytes": _text(certificate.public_bytes(serialization.Encoding.DER))}}
        return json.dumps(bundle | {"verificationMaterial": material | {"tlogEntries": [entry]}}).encode()

    def _certificate(self, key: ec.EllipticCurvePrivateKey, identity: str, issuer: str) -> x509.Certificate:
        usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._authority.public_key())
        builder = (
            self._builder(x509.Name([]), key.public_key(), _PERIOD)
            .add_extension(usage, critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(authority, critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.RFC822Name(identity)]), critical=True)
            .add_extension(x509.UnrecognizedExtension(_ISSUER, issuer.encode()), critical=False)
        )
        unlogged = builder.sign(self._authority, hashes.SHA256()).tbs_certificate_bytes
        entry = _id(self._authority) + struct.pack(">I", len(unlogged))[1:] + unlogged
        milliseconds = struct.pack(">Q", int(self._now.timestamp()) * 1000)
        promise = _sign(self._certificates, b"\0\0" + milliseconds + b"\0\1" + entry + b"\0\0")
        promised = b"\0" + _id(self._certificates) + milliseconds + b"\0\0" + b"\4\3"  # SHA-256, ECDSA
        promised += struct.pack(">H", len(promise)) + promise
        listed = struct.pack(">HH", len(promised) + 2, len(promised)) + promised
        octets = bytes([0x04, len(listed)]) if len(listed) < 128 else bytes([0x04, 0x81, len(listed)])
        extension = x509.UnrecognizedExtension(_PROMISES, octets + listed)
        return builder.add_extension(extension, critical=False).sign(self._authority, hashes.SHA256())

    def _entry(self, envelope: dict[str, Any], certificate: x509.Certificate) -> dict[str, Any]:
        def sha256(data: bytes) -> dict[str, str]:
            return {"algorithm": "sha256", "value": hashlib.sha256(data).hexdigest()}

        verifier = _text(certificate.public_bytes(serialization.Encoding.PEM))
        spec = {
            "envelopeHash": sha256(json.dumps(envelope).encode()),
            "payloadHash": sha256(base64.b64decode(envelope["payload"])),
            "signatures": [{"signature": entry["sig"], "verifier": verifier} for entry in envelope["signatures"]],
        }
        body = _canonical({"apiVersion": "0.0.1", "kind": "dsse", "spec": spec})
        root = hashlib.sha256(b"\0" + body).digest()  # of a tree whose one leaf this is
        note = f"{_NAME}\n1\n{_text(root)}\n"
        signed = _text(_id(self._log)[:4] + _sign(self._log, note.encode()))
        seconds = int(self._now.timestamp())
        promised = {"body": _text(body), "integratedTime": seconds, "logID": _id(self._log).hex(), "logIndex": 0}
        return {
            "logIndex": "0",
            "logId": {"keyId": _text(_id(self._log))},
            "kindVersion": {"kind": "dsse", "version": "0.0.1"},
            "integratedTime": str(seconds),
            "inclusionPromise": {"signedEntryTimestamp": _text(_sign(self._log, _canonical(promised)))},
            "inclusionProof": {
                "logIndex": "0",
                "rootHash": _text(root),
                "treeSize": "1",
                "hashes": [],
                "checkpoint": {"envelope": f"{note}\n\N{EM DASH} {_NAME} {signed}\n"},
            },
            "canonicalizedBody": _text(body),
        }


def _canonical(value: dict[str, Any]) -> bytes:
    """As RFC 8785 has it, for what occurs here."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
