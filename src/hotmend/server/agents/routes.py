"""The agents' API: a machine enrols with a code, then speaks with its certificate.

Who is speaking is what TLS says, never a header or a body. A report is acknowledged when it is in
the database.
"""

from __future__ import annotations

import asyncio
import base64
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

import msgspec
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from hotmend.model.agent_messages import (
    Enrol,
    Enrolled,
    Poll,
    Polled,
    Renew,
    Renewed,
    Report,
)
from hotmend.server.agents import polls
from hotmend.server.agents.batch import Batch
from hotmend.server.agents.reports import written
from hotmend.server.arm import listing
from hotmend.server.arm.machine_support import CONNECTED
from hotmend.server.certificates import agent_certificate
from hotmend.server.control import Control
from hotmend.server.errors import ServerError
from hotmend.server.resource_id import ResourceId, parsed
from hotmend.server.storage import audit, machines, resources, standing
from hotmend.server.tls import Peer, peer_of

_LONGEST_WAIT_S = 60.0
_MOST_BODY = 4 << 20
_MOST_ID = 36
_MOST_NAME = 256
_MOST_NUMBER = 1 << 53
_MOST_TIME = 1e11
_WRONG_PER_MINUTE = 30

T = TypeVar("T")
_Handler = Callable[[Request, Peer, bytes], Awaitable[Response]]
_encode = msgspec.json.Encoder().encode


def routes(control: Control) -> list[BaseRoute]:
    """``/agents/v1/…``."""
    report = msgspec.json.Decoder(Report)
    poll = msgspec.json.Decoder(Poll)
    wrong = _WrongCodes(control)
    polled = Batch(control, polls.answered)
    reported = Batch(control, written)

    async def enrol(request: Request) -> Response:
        message = _decoded(msgspec.json.Decoder(Enrol), await _body(request))
        if message is None or len(message.facts.host) > _MOST_NAME:
            return _no(400, "this is not a request to enrol")
        address = request.client.host if request.client else ""
        if not wrong.bearable(address):
            return _no(429, "too many attempts to enrol; wait a minute")
        work = control.database.submit(lambda c: _enrol(control, c, message))
        try:
            enrolled = await asyncio.wrap_future(work)
        except ServerError as error:
            wrong.note(address)
            return _no(403, str(error))
        return _yes(enrolled)

    async def renew(_: Request, peer: Peer, body: bytes) -> Response:
        message = _decoded(msgspec.json.Decoder(Renew), body)
        if message is None:
            return _no(400, "this is not a request for a certificate")
        now = datetime.fromtimestamp(control.clock(), UTC)
        try:
            pem = agent_certificate(
                control.folder.authority, message.request.encode(), peer.machine, now
            )
        except ServerError as error:
            return _no(400, str(error))
        return _yes(Renewed(pem.decode()))

    async def orders(_: Request, peer: Peer, body: bytes) -> Response:
        message = _decoded(poll, body)
        if message is None or not 0 <= message.log_size < _MOST_NUMBER:
            return _no(400, "this is not a poll")
        found = await polled.add((peer.machine, message))
        if found is None:
            return _no(403, "this machine has been removed; enrol it again")
        if not found and message.wait_s > 0:
            wait_s = min(message.wait_s, _LONGEST_WAIT_S)
            if await control.orders.wait(peer.machine, wait_s):
                found = await polled.add((peer.machine, message))
        note, proof = await control.log.news(message.log_size)
        return _yes(Polled(tuple(found or ()), control.repository.releases(), note, proof))

    async def reports(_: Request, peer: Peer, body: bytes) -> Response:
        message = _decoded(report, body)
        if message is None or not _sound(message):
            return _no(400, "this is not a report")
        return _yes(await reported.add((peer.machine, message)))

    def known(handler: _Handler) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            peer = peer_of(request.scope)
            if peer is None or not peer.not_before <= control.clock() <= peer.not_after:
                return _no(401, "a machine comes with its certificate, and with one that is valid")
            return await handler(request, peer, await _body(request))

        return handle

    return [
        Route("/agents/v1/enrol", enrol, methods=["POST"]),
        Route("/agents/v1/renew", known(renew), methods=["POST"]),
        Route("/agents/v1/orders", known(orders), methods=["POST"]),
        Route("/agents/v1/reports", known(reports), methods=["POST"]),
    ]


def _enrol(control: Control, connection: Connection, message: Enrol) -> Enrolled:
    now = control.clock()
    used = machines.use_code(connection, message.code, now)
    if used is None:
        raise ServerError("the code is not known, was used, or is too old; ask for a new one")
    identifier, location = parsed(used[0]), used[1]
    machine = str(uuid.uuid4())
    certificate = agent_certificate(
        control.folder.authority,
        message.request.encode(),
        machine,
        datetime.fromtimestamp(now, UTC),
    )
    _make_resource(connection, identifier, location, message, now)
    machines.add(connection, machine, identifier.key, message.facts, now, message.simulated)
    standing.place(connection, identifier)
    listing.refresh(connection, [identifier.key], now)
    audit.append(connection, now, "code", "enrol", str(identifier), {"machine": machine})
    key = base64.b64encode(control.log.public).decode()
    return Enrolled(machine, str(identifier), certificate.decode(), key)


def _make_resource(
    connection: Connection, identifier: ResourceId, location: str, message: Enrol, now: float
) -> None:
    """A machine that nobody has put there before: one of its owner's own."""
    group = ResourceId(identifier.subscription, identifier.group, "", identifier.group)
    if resources.get(connection, group) is None:
        properties = {"provisioningState": "Succeeded"}
        resources.put(connection, group, {"location": location, "properties": properties}, now)
    if resources.get(connection, identifier) is not None:
        return
    settings = {"patchMode": "AutomaticByPlatform", "assessmentMode": "AutomaticByPlatform"}
    if identifier.type == CONNECTED:
        # What it is, its agent says; this is what somebody has chosen.
        linux = {"patchSettings": settings}
        of_connected = {
            "provisioningState": "Succeeded",
            "vmId": str(uuid.uuid4()),
            "osProfile": {"linuxConfiguration": linux},
        }
        body = {"location": location, "properties": of_connected}
        resources.put(connection, identifier, body, now)
        return
    properties_of_machine = {
        "provisioningState": "Succeeded",
        "vmId": str(uuid.uuid4()),
        "timeCreated": datetime.fromtimestamp(now, UTC).isoformat(),
        "osProfile": {
            "computerName": message.facts.host,
            "linuxConfiguration": {"provisionVMAgent": True, "patchSettings": settings},
        },
        "storageProfile": {"osDisk": {"osType": "Linux", "createOption": "Attach"}},
    }
    body = {"location": location, "properties": properties_of_machine}
    resources.put(connection, identifier, body, now)


class _WrongCodes:
    """From each address, in the minute since the first of them. Right ones cost nothing: whole
    racks enrol from behind one address, all at once."""

    def __init__(self, control: Control) -> None:
        self._clock = control.clock
        self._began = 0.0
        self._wrong: dict[str, int] = {}

    def bearable(self, address: str) -> bool:
        """Whether one more try from there is looked at."""
        now = self._clock()
        if not 0 <= now - self._began < 60:  # clocks are put back, too
            self._began, self._wrong = now, {}
        return self._wrong.get(address, 0) < _WRONG_PER_MINUTE

    def note(self, address: str) -> None:
        self._wrong[address] = self._wrong.get(address, 0) + 1


async def _body(request: Request) -> bytes:
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > _MOST_BODY:
            return b""
    return bytes(data)


def _sound(report: Report) -> bool:
    """Its numbers and names are such as the database takes."""
    names = [report.facts.host] if report.facts is not None else []
    times = [report.time]
    if report.health is not None:
        times.append(report.health.time)
    if report.run is not None:
        if len(report.run.id) > _MOST_ID:
            return False
        times += [report.run.started, report.run.finished or 0.0]
    return (
        abs(report.number) < _MOST_NUMBER
        and all(0 <= time < _MOST_TIME for time in times)
        and all(len(name) <= _MOST_NAME for name in names)
    )


def _decoded(decoder: msgspec.json.Decoder[T], body: bytes) -> T | None:
    if b"\\u0000" in body:  # PostgreSQL keeps no such text
        return None
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None


def _yes(content: object) -> Response:
    return Response(_encode(content), media_type="application/json")


def _no(status: int, sentence: str) -> Response:
    return Response(_encode({"error": sentence}), status, media_type="application/json")
