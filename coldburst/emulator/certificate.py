"""A certificate for an emulator that speaks HTTPS, made at its start by an authority of its own."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID = datetime.timedelta(days=30)


def serve_as(host: str, folder: Path, names: list[str]) -> tuple[ssl.SSLContext, Path]:
    """What a server needs to speak TLS as ``host``, and the file of the authority that its clients must trust.

    Args:
        host: address that it listens on; localhost and 127.0.0.1 are always in the certificate.
        folder: takes the files.
        names: of endpoints; NAME.localhost and NAME.api.localhost are in the certificate too.
    """
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = _authority(authority_key)
    certificate = _certificate(authority, authority_key, key.public_key(), _alternatives(host, names))
    chain, authority_file = folder / "certificate.pem", folder / "ca.pem"
    chain.touch(mode=0o600)
    chain.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + certificate.public_bytes(Encoding.PEM))
    authority_file.write_bytes(authority.public_bytes(Encoding.PEM))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(chain)
    return context, authority_file


def _alternatives(host: str, names: list[str]) -> list[x509.GeneralName]:
    hosts = ["localhost", *(f"{name}.localhost" for name in names), *(f"{name}.api.localhost" for name in names)]
    addresses = {ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1")}
    try:
        addresses.add(ipaddress.ip_address(host))
    except ValueError:
        hosts.append(host)
    return [*map(x509.DNSName, dict.fromkeys(hosts)), *map(x509.IPAddress, sorted(addresses, key=str))]


def _authority(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "coldburst emulator")])
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    return (
        _dated(x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _certificate(
    authority: x509.Certificate, authority_key: ec.EllipticCurvePrivateKey, key: ec.EllipticCurvePublicKey, names: list[x509.GeneralName]
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    return (
        _dated(x509.CertificateBuilder().subject_name(subject).issuer_name(authority.subject).public_key(key))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )


def _dated(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        builder.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + VALID)
    )
