"""TLS: who speaks is asked for a certificate, and need not have one.

Azure's clients come with a token, agents with a certificate that the server's own authority
signed. No ASGI server hands the certificate on, so the protocol is taught to.
"""

from __future__ import annotations

import ssl
from collections.abc import MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from hotmend.server.certificates import machine_of


@dataclass(frozen=True)
class Peer:
    """An agent, as its certificate says; times in seconds since the epoch."""

    machine: str
    not_before: float
    not_after: float


class PeerProtocol(HttpToolsProtocol):
    """Says in the scope (``extensions``) whose certificate the connection came with."""

    _peer: Peer | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        secured = transport.get_extra_info("ssl_object")
        certificate = secured.getpeercert(binary_form=True) if secured is not None else None
        if certificate:
            self._peer = _peer(certificate)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {"hotmend.peer": {"peer": self._peer}}


def peer_of(scope: MutableMapping[str, Any]) -> Peer | None:
    """The agent that speaks; None for anybody else."""
    peer: Peer | None = scope.get("extensions", {}).get("hotmend.peer", {}).get("peer")
    return peer


def context(certificate: Path, key: Path, authority: Path) -> ssl.SSLContext:
    """TLS 1.2 at least; a certificate that a client shows must be the authority's."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.load_cert_chain(certificate, key)
    made.load_verify_locations(authority)
    made.verify_mode = ssl.CERT_OPTIONAL
    made.verify_flags |= ssl.VERIFY_X509_STRICT
    made.num_tickets = 0  # nobody resumes: each agent holds its connection
    return made


def _peer(certificate: bytes) -> Peer | None:
    parsed = x509.load_der_x509_certificate(certificate)
    machine = machine_of(parsed)
    if machine is None:
        return None
    return Peer(
        machine,
        parsed.not_valid_before_utc.timestamp(),
        parsed.not_valid_after_utc.timestamp(),
    )
