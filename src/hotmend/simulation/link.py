"""The agents' wire, for thousands in one process: HTTPS with each machine's own certificate."""

from __future__ import annotations

import asyncio
import json
import ssl
import tempfile
from dataclasses import asdict
from typing import Any, TypeVar

import h11

from hotmend.agent.errors import LinkError, RefusedByServer
from hotmend.agent.link import decoded

_MOST_READ = 1 << 16
_PATIENCE_S = 60.0

T = TypeVar("T")


def context(authority: str, identity: bytes = b"") -> ssl.SSLContext:
    """``authority``: PEM, and nobody else's is trusted; ``identity``: key and certificate."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.load_verify_locations(cadata=authority)
    if identity:
        with tempfile.NamedTemporaryFile() as file:  # OpenSSL reads keys from files alone
            file.write(identity)
            file.flush()
            made.load_cert_chain(file.name)
    return made


class Link:
    """One connection, made when it is needed; for one task."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext) -> None:
        self._host, self._port, self._tls = host, port, tls
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._state = h11.Connection(h11.CLIENT)

    async def ask(self, what: str, message: Any, kind: type[T], wait_s: float = 0.0) -> T:
        """Raises LinkError, RefusedByServer."""
        try:
            async with asyncio.timeout(wait_s + _PATIENCE_S):
                status, data = await self._ask(what, json.dumps(asdict(message)).encode())
        except asyncio.CancelledError:
            self.close()
            raise
        except (OSError, TimeoutError, h11.ProtocolError, EOFError) as error:
            self.close()
            raise self._lost(error) from None
        if status != 200:
            self.close()
            kinds = RefusedByServer if status in (400, 401, 403, 409) else LinkError
            raise kinds(f"{what} → {status}: {data[:200]!r}")
        answer: T = decoded(json.loads(data), kind)
        return answer

    async def open(self) -> None:
        """Now, and not when it is needed. Raises LinkError."""
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self._open()
        except (OSError, TimeoutError) as error:
            raise self._lost(error) from None

    def close(self) -> None:
        """The next question opens another."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    def _lost(self, error: Exception) -> LinkError:
        return LinkError(f"{self._host}:{self._port}: {error or type(error).__name__}")

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port, ssl=self._tls)
            self._state = h11.Connection(h11.CLIENT)
        return self._streams

    async def _ask(self, what: str, body: bytes) -> tuple[int, bytes]:
        reader, writer = await self._open()
        head = [
            ("Host", f"{self._host}:{self._port}"),
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
        ]
        request = h11.Request(method="POST", target=f"/agents/v1/{what}", headers=head)
        for part in (request, h11.Data(data=body), h11.EndOfMessage()):
            writer.write(self._state.send(part) or b"")
        await writer.drain()
        status, data = 0, bytearray()
        while not isinstance(event := self._state.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                self._state.receive_data(await reader.read(_MOST_READ))
            elif isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                data += event.data
            else:
                raise EOFError("the server hung up")
        if self._state.our_state is h11.DONE and self._state.their_state is h11.DONE:
            self._state.start_next_cycle()
        else:
            self.close()
        return status, bytes(data)
