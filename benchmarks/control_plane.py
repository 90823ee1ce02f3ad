"""The agents' hot path: reports each second through mutual TLS, and machines that only wait.

One server on one core, its clients on another. Beside it, in the same run, a bare Starlette behind
the same TLS that decodes the same message and keeps nothing: what the web server costs alone.
PostgreSQL, which has processes of its own, runs beside the clients.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import resource
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tests.server import postgres

from hotmend.agent.identity import new_request
from hotmend.demo.control_plane import ControlPlane
from hotmend.demo.server import free_port
from hotmend.model.agent_messages import Facts, Report
from hotmend.server import certificates, tls
from hotmend.server.folder import DataFolder
from hotmend.server.storage import machines
from hotmend.server.storage.database import Database

SERVER_CORE, CLIENT_CORE = "0", "1"
FACTS = Facts("host", "debian", "12", "6.1.0", "0.1", 1.0)
GOALS = {"SQLite": 5000, "PostgreSQL": 3000}


def main() -> None:
    words = argparse.ArgumentParser(description="reports per second, and idle machines")
    words.add_argument("--machines", type=int, default=64)
    words.add_argument("--seconds", type=float, default=5.0)
    words.add_argument("--rounds", type=int, default=3)
    words.add_argument("--idle", type=int, default=15_000)
    words.add_argument("--bare", nargs=2, metavar=("DATA", "PORT"), help=argparse.SUPPRESS)
    given = words.parse_args()
    if given.bare:
        _bare(Path(given.bare[0]), int(given.bare[1]))
        return
    os.sched_setaffinity(0, {int(CLIENT_CORE)})
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print("| | reports per second, median | goal | of a bare Starlette |")
    print("|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name, postgres.running(Path(name) / "pg") as url:
        bare = _rate(Path(name) / "bare", "bare", "", given)
        print(f"| bare Starlette, keeps nothing | {bare:,.0f} | | 1.00 |", flush=True)
        for kind, database in (("SQLite", ""), ("PostgreSQL", url)):
            rate = _rate(Path(name) / kind, kind, database, given)
            print(f"| {kind} | {rate:,.0f} | {GOALS[kind]:,} | {rate / bare:.2f} |", flush=True)
        print()
        print("| idle machines, each in a long poll | held | memory each | seconds to come |")
        print("|---|---|---|---|")
        print(_idle(Path(name) / "idle", given.idle, hard), flush=True)


def _rate(folder: Path, kind: str, database: str, given: argparse.Namespace) -> float:
    with _serving(folder, kind, database) as (data, port):
        clients = [_machine(data, database, folder, n) for n in range(given.machines)]
        rates = []
        numbers = itertools.count(1)
        for _ in range(given.rounds):
            rates.append(asyncio.run(_load(clients, port, given.seconds, numbers)))
        return statistics.median(rates)


@contextmanager
def _serving(folder: Path, kind: str, database: str) -> Iterator[tuple[DataFolder, int]]:
    folder.mkdir()
    port = free_port()
    data = DataFolder.opened(folder / "server", ["localhost"])
    if kind == "bare":
        Database(data.database).migrate()
        words = [sys.executable, __file__, "--bare", str(data.path), str(port)]
        process = subprocess.Popen(["taskset", "-c", SERVER_CORE, *words])
        time.sleep(2)
        try:
            yield data, port
        finally:
            process.terminate()
            process.wait()
        return
    plane = ControlPlane(folder, port, database)
    plane.start()
    for task in Path(f"/proc/{plane.pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {int(SERVER_CORE)})
    try:
        yield data, port
    finally:
        plane.stop()


def _machine(data: DataFolder, database: str, folder: Path, number: int) -> ssl.SSLContext:
    """Of a machine that is in the database; its certificate, ready to connect."""
    identifier, now = str(uuid.uuid4()), time.time()
    key, request = new_request("bench")
    made = certificates.agent_certificate(
        data.authority, request, identifier, datetime.fromtimestamp(now, UTC)
    )
    store = _stores.setdefault(database or data.database, Database(database or data.database))
    store.write(
        lambda c: machines.add(c, identifier, f"/bench/{folder.name}/{number}", FACTS, now, True)
    )
    identity = folder / f"{number}.pem"
    identity.write_bytes(key + made)
    context = ssl.create_default_context(cafile=str(data.path / "ca.pem"))
    context.load_cert_chain(identity)
    identity.unlink()
    return context


_stores: dict[str, Database] = {}


async def _load(
    clients: list[ssl.SSLContext], port: int, seconds: float, numbers: Iterator[int]
) -> float:
    """Each machine sends its next report when the last is acknowledged."""
    number = next(numbers)
    connections = [
        await asyncio.open_connection("127.0.0.1", port, ssl=c, server_hostname="localhost")
        for c in clients
    ]
    done = 0
    end = time.monotonic() + seconds

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal done
        count = number * 10_000_000
        while time.monotonic() < end:
            count += 1
            body = b'{"number":%d,"time":1.0}' % count
            writer.write(
                b"POST /agents/v1/reports HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
            )
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            answer = await reader.readexactly(length)
            assert head.startswith(b"HTTP/1.1 200") and b'"accepted":true' in answer, answer
            done += 1
        writer.close()

    began = time.monotonic()
    await asyncio.gather(*(one(*connection) for connection in connections))
    return done / (time.monotonic() - began)


def _idle(folder: Path, wanted: int, files: int) -> str:
    with _serving(folder, "SQLite", "") as (data, port):
        server = next(
            int(p.name)
            for p in Path("/proc").glob("[0-9]*")
            if f"--port\0{port}".encode() in _command(p)
        )
        subprocess.run(["prlimit", f"--pid={server}", f"--nofile={files}:{files}"], check=True)
        context = _machine(data, "", folder, 0)
        before = _resident(server)
        began = time.monotonic()
        held = asyncio.run(_hold(context, port, wanted, lambda: _resident(server)))
        took = time.monotonic() - began
        each = (held[1] - before) / max(1, held[0])
        return f"| of {wanted:,} (goal 15,000) | {held[0]:,} | {each:.0f} KiB | {took:.0f} |"


async def _hold(
    context: ssl.SSLContext, port: int, wanted: int, resident: object
) -> tuple[int, int]:
    body = json.dumps({"wait_s": 60}).encode()
    request = (
        b"POST /agents/v1/orders HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b"
        % (len(body), body)
    )
    gate = asyncio.Semaphore(64)
    held = []

    async def one(number: int) -> None:
        async with gate:
            # Loopback has 28,000 ports for an address; there are more addresses.
            local = (f"127.0.0.{2 + number // 20_000}", 0)
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=context, server_hostname="localhost", local_addr=local
            )
            writer.write(request)
            await writer.drain()
            held.append((reader, writer))

    results = await asyncio.gather(*map(one, range(wanted)), return_exceptions=True)
    failed = [r for r in results if isinstance(r, BaseException)]
    if failed:
        print(f"{len(failed)} were not held: {failed[0]!r}")
    await asyncio.sleep(2)
    silent = sum(not reader.at_eof() for reader, _ in held)
    return silent, resident()  # type: ignore[operator]


def _command(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""


def _resident(pid: int) -> int:
    """KiB."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0])


def _bare(data: Path, port: int) -> None:
    decoder = msgspec.json.Decoder(Report)

    async def report(request: Request) -> Response:
        decoder.decode(await request.body())
        return Response(b'{"accepted":true,"because":""}', media_type="application/json")

    def context(*_: object) -> ssl.SSLContext:
        return tls.context(data / "server.pem", data / "server-key.pem", data / "ca.pem")

    application = Starlette(routes=[Route("/agents/v1/reports", report, methods=["POST"])])
    uvicorn.run(
        application,
        port=port,
        http=tls.PeerProtocol,
        access_log=False,
        log_level="error",
        ssl_context_factory=context,
    )


if __name__ == "__main__":
    main()
