"""The loop that reads the audit log and sends what people must know, in each replica.

News is put into the outbox in the transaction that moves the reader on, and taken out after it
arrived: it is told at least once, whoever dies. Receivers know the same news by its id.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from dataclasses import asdict, replace
from functools import partial

import msgspec
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from hotmend.model.audit_log import digest_of
from hotmend.server.control import Control
from hotmend.server.notifications import events, mail, webhook
from hotmend.server.notifications.errors import NotSentError
from hotmend.server.notifications.events import Event
from hotmend.server.notifications.settings import EMAIL, Notifications, parsed
from hotmend.server.storage import audit, outbox, settings
from hotmend.server.storage.outbox import Letter

NAME = "notifications"
_EVERY_S = 2.0
_ENTRIES = 200
_LETTERS = 20
LEASE_S = 120.0
_FIRST_WAIT_S, _LONGEST_WAIT_S = 10.0, 3600.0
GIVE_UP_S = 3 * 86400.0


def wait_s(attempts: int) -> float:
    """How long after so many attempts the next one is."""
    return float(min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** (min(attempts, 16) - 1)))


def collect(connection: Connection, now: float) -> int:
    """Read on in the audit log, and put what it says into the outbox; how many entries."""
    reader = outbox.take_reader(connection)
    if reader is None:
        return 0
    before = reader
    wanted = parsed(settings.get(connection, NAME))
    found: list[Event] = []
    tally = Counter(reader.tally)
    entries = audit.page(connection, reader.number, _ENTRIES)
    for entry in entries:
        whole = entry.number == reader.number + 1 and entry.digest == digest_of(
            reader.digest, entry
        )
        if not whole and not reader.alarmed:
            found.append(events.alarm(reader.number + 1, now))
        event = events.of_entry(entry)
        if event is not None:
            found.append(event)
        tally[entry.what] += 1
        # An alarm is raised once, and not for each entry that comes after.
        alarmed = reader.alarmed or not whole
        reader = replace(reader, number=entry.number, digest=entry.digest, alarmed=alarmed)
    if events.digest_is_due(reader.since, wanted.digest_at, now):
        if tally and reader.since:
            found.append(events.digest(tally, reader.since, now))
            tally.clear()
        reader = replace(reader, since=now)
    reader = replace(reader, tally=dict(tally))
    if reader != before:
        outbox.put_reader(connection, reader)
    for event in found:
        outbox.put(connection, event.id, asdict(event), wanted.channels, now)
    return len(entries)


class Notifying:
    """``turn`` is one look, and may be called by anybody at any time."""

    def __init__(self, control: Control) -> None:
        self._control = control

    async def run(self) -> None:
        """For as long as the server runs."""
        while True:
            with contextlib.suppress(SQLAlchemyError):
                await asyncio.to_thread(self.turn)
            await asyncio.sleep(_EVERY_S)

    def turn(self) -> int:
        """Read what there is, and send what is due; how many arrived."""
        database, now = self._control.database, self._control.clock()
        while database.write(partial(collect, now=now)) == _ENTRIES:
            pass
        letters = database.write(partial(outbox.claim, now=now, most=_LETTERS, lease_s=LEASE_S))
        if not letters:
            return 0
        with database.reading() as connection:
            wanted = parsed(settings.get(connection, NAME))
        return sum(self._deliver(letter, wanted) for letter in letters)

    def _deliver(self, letter: Letter, wanted: Notifications) -> bool:
        problem, again = "", None
        try:
            self._send(letter, wanted)
        except NotSentError as error:
            problem, now = str(error)[:500], self._control.clock()
            if letter.channel in wanted.channels and now < letter.created + GIVE_UP_S:
                again = now + wait_s(letter.attempts)
        done = partial(
            outbox.ended, letter=letter, now=self._control.clock(), problem=problem, again=again
        )
        self._control.database.write(done)
        return not problem

    def _send(self, letter: Letter, wanted: Notifications) -> None:
        event = msgspec.convert(letter.event, Event)
        source, allowed = self._control.base_url, wanted.allowed_hosts
        if letter.channel == EMAIL and wanted.email is not None:
            mail.send(wanted.email, event, source, allowed)
            return
        for one in wanted.webhooks:
            if one.channel == letter.channel:
                webhook.send(one, event, source, allowed)
                return
        raise NotSentError("nobody is to be told there any more")
