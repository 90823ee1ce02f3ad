"""The server's process: one port, TLS from the first day."""

from __future__ import annotations

import ssl
from asyncio.sslproto import SSLProtocol
from typing import Any

import uvicorn

from hotmend.server import tls
from hotmend.server.app import app
from hotmend.server.control import Control

LONGEST_IDLE_S = 75
# asyncio keeps a buffer of 256 KiB for each TLS connection; agents wait by the thousand, and what
# they send is small.
_TLS_BUFFER = 4 << 10


def serve(control: Control, host: str, port: int) -> None:
    """Until it is told to end."""
    folder = control.folder.path
    SSLProtocol.max_size = _TLS_BUFFER

    def context(*_: Any) -> ssl.SSLContext:
        return tls.context(folder / "server.pem", folder / "server-key.pem", folder / "ca.pem")

    config = uvicorn.Config(
        app(control),
        host=host,
        port=port,
        http=tls.PeerProtocol,
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=LONGEST_IDLE_S,
        timeout_graceful_shutdown=2,
        ssl_context_factory=context,
    )
    try:
        uvicorn.Server(config).run()
    finally:
        control.database.close()
