"""The server's own certificate authority: for its TLS, and for its agents.

X.509 is cryptography's; what is decided here is who gets which name, for how long. An agent's
certificate says its machine in a URI (``urn:hotmend:machine:…``) and lives for a day.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from hotmend.server.errors import ServerError

AGENT_LIFE = timedelta(hours=24)
_AUTHORITY_LIFE = timedelta(days=3650)
_SERVER_LIFE = timedelta(days=397)
_EARLIER = timedelta(minutes=5)  # clocks differ
_MACHINE = "urn:hotmend:machine:"
_LEAST_CURVE_BITS = 256
_LEAST_RSA_BITS = 2048


@dataclass(frozen=True)
class Pair:
    """A private key and its certificate, PEM."""

    key: bytes
    certificate: bytes


def new_authority(now: datetime) -> Pair:
    """A certificate authority that signs for nobody's authority but its own."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("Hotmend control plane")
    builder = (
        _certificate(name, name, key.public_key(), now, _AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(_own_identifier(key.public_key()), critical=False)
    )
    return _pair(key, builder.sign(key, hashes.SHA256()))


def server_certificate(authority: Pair, hosts: list[str], now: datetime) -> Pair:
    """For TLS under the names and addresses ``hosts``."""
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([_host(host) for host in hosts])
    builder = _issued(authority, hosts[0], key.public_key(), now, _SERVER_LIFE)
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    builder = builder.add_extension(names, critical=False).add_extension(usage, critical=False)
    return _pair(key, builder.sign(_key(authority), hashes.SHA256()))


def agent_certificate(authority: Pair, request: bytes, machine: str, now: datetime) -> bytes:
    """A certificate, PEM, for the key of ``request`` (a PEM certificate request) that says
    ``machine``. What else the request asks for is not looked at. Raises ServerError for a request
    that is none, that its own key has not signed, or whose key is weak."""
    try:
        asked = x509.load_pem_x509_csr(request)
        public = asked.public_key()
        sound = asked.is_signature_valid
    except (ValueError, TypeError, InvalidSignature) as error:
        raise ServerError(f"the certificate request is none: {error}") from None
    if not sound:
        raise ServerError("the certificate request is not signed with its own key")
    if isinstance(public, rsa.RSAPublicKey) and public.key_size < _LEAST_RSA_BITS:
        raise ServerError(f"the key has {public.key_size} bits; {_LEAST_RSA_BITS} are asked for")
    if not isinstance(public, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        raise ServerError("the key is neither RSA nor on an elliptic curve")
    if isinstance(public, ec.EllipticCurvePublicKey) and public.key_size < _LEAST_CURVE_BITS:
        raise ServerError(f"the key has {public.key_size} bits; {_LEAST_CURVE_BITS} are asked for")
    builder = _issued(authority, machine, public, now, AGENT_LIFE)
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(_MACHINE + machine)])
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    builder = builder.add_extension(names, critical=False).add_extension(usage, critical=False)
    return builder.sign(_key(authority), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def machine_of(parsed: x509.Certificate) -> str | None:
    """The machine of an agent's certificate that TLS has verified; None for anybody else's."""
    try:
        names = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
    for uri in names.get_values_for_type(x509.UniformResourceIdentifier):
        if uri.startswith(_MACHINE):
            return uri.removeprefix(_MACHINE)
    return None


def _issued(
    authority: Pair,
    subject: str,
    public: rsa.RSAPublicKey | ec.EllipticCurvePublicKey,
    now: datetime,
    life: timedelta,
) -> x509.CertificateBuilder:
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    above = _key(authority).public_key()
    return (
        _certificate(_name(subject), issuer.subject, public, now, life)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(_own_identifier(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(above), critical=False)
    )


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    public: rsa.RSAPublicKey | ec.EllipticCurvePublicKey,
    now: datetime,
    life: timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + life)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _own_identifier(
    public: rsa.RSAPublicKey | ec.EllipticCurvePublicKey,
) -> x509.SubjectKeyIdentifier:
    return x509.SubjectKeyIdentifier.from_public_key(public)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common[:64])])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key(pair: Pair) -> ec.EllipticCurvePrivateKey:
    return cast(
        ec.EllipticCurvePrivateKey, serialization.load_pem_private_key(pair.key, password=None)
    )


def _pair(key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> Pair:
    return Pair(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        certificate.public_bytes(serialization.Encoding.PEM),
    )
