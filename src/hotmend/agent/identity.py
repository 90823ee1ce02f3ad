"""The machine's key, and the requests for certificates that go with it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from hotmend.agent.errors import AgentError


def new_request(host: str) -> tuple[bytes, bytes]:
    """(key, certificate request), PEM. What the certificate says is the control plane's to say."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:64])])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return pem, request.public_bytes(serialization.Encoding.PEM)


def half_life(identity: Path) -> datetime:
    """When a new certificate is due. Raises AgentError."""
    try:
        certificate = x509.load_pem_x509_certificate(identity.read_bytes())
    except (OSError, ValueError) as error:
        raise AgentError(f"{identity} cannot be used: {error}") from None
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return (begins + (ends - begins) / 2).astimezone(UTC)
